"""A browser for the tests that look at the page, and the demo's runs."""

import pytest

from tests.end_to_end.browser import Projector, launch


@pytest.fixture(scope="session")
def browser():
    driver, browser = launch()
    yield browser
    browser.close()
    driver.stop()


@pytest.fixture
def projector(browser):
    page = Projector(browser)
    yield page
    page.close()


@pytest.fixture(scope="session")
def demo_logdir(demo_directory, tmp_path_factory):
    """The demo's two runs, exported by the real model; not to be changed."""
    from exporter.workflows.demo import demo

    logdir = tmp_path_factory.mktemp("demo") / "logs"
    demo(demo_directory, logdir=logdir)
    return logdir
