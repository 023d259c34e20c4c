"""The Projector in a headless Chromium, and the way to what is inside its page."""

import os
import shutil

import pytest

FLAGS = [
    "--no-sandbox",
    # WebGL in software, so that no test depends on the machine's graphics
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # no traffic of the browser's own
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]

INSIDE = """
window.projector = () => {
  const search = (root) => {
    for (const element of root.querySelectorAll('*')) {
      if (element.localName === 'vz-projector') return element;
      const found = element.shadowRoot && search(element.shadowRoot);
      if (found) return found;
    }
    return null;
  };
  return search(document);
};
window.panel = (name) => window.projector().shadowRoot.querySelector('vz-projector-' + name);
window.pictureIsThere = () => {
  const page = window.projector();
  return Boolean(page && page.dataSet && page.dataSet.points.length && page.projection &&
                 page.projection.projectionComponents && page.dataSet.projections['pca-0']);
};
"""

STATE = """() => {
  const page = window.projector(), data = window.panel('data-panel');
  const positions = page.projectorScatterPlotAdapter.scatterPlot.worldSpacePointPositions;
  return {
    run: data.selectedRun, runs: data.runNames,
    tensor: data.selectedTensor, tensors: (data.tensorNames || []).map((tensor) => tensor.name),
    points: page.dataSet.points.length, dimension: page.dataSet.dim[1],
    drawn: positions ? positions.length / 3 : 0, blank: positions ? Array.from(positions).some(Number.isNaN) : true,
    columns: Object.keys(page.dataSet.points[0].metadata),
    metadata: page.dataSet.points.map((point) => point.metadata),
    gradients: (data.colorOptions || []).filter((option) => option.desc === 'gradient').map((option) => option.name),
    colors: (data.colorOptions || []).map((option) => option.name),
    label: page.selectedLabelOption,
    message: page.shadowRoot.querySelector('#notification-dialog').opened
      ? page.shadowRoot.querySelector('#notify-msgs').innerText : '',
  };
}"""


class Projector:
    """One page. `faults` are the exceptions and error lines that it had."""

    def __init__(self, browser):
        self.page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        self.page.add_init_script(INSIDE)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.frame = self.page

    def open(self, url):
        """Open the Projector alone, without TensorBoard's frame, and wait for its picture."""
        self.page.goto(f"{url.rstrip('/')}/data/plugin/projector/projector_binary.html")
        self.wait()

    def open_in_tensorboard(self, url):
        """Open TensorBoard's own page at an address that ends in #projector, and find the Projector in its frames."""
        self.page.goto(url)
        self.page.wait_for_function("() => document.querySelectorAll('iframe').length > 0", timeout=60_000)
        for _ in range(600):
            frames = [frame for frame in self.page.frames if frame.url.endswith("projector_binary.html")]
            if frames:
                self.frame = frames[0]
                return self.wait()
            self.page.wait_for_timeout(100)
        raise AssertionError("the page shows no Projector")

    def wait(self):
        """Until points are drawn."""
        self.frame.wait_for_function("() => window.pictureIsThere && window.pictureIsThere()", timeout=90_000)
        self.page.wait_for_timeout(300)

    def state(self):
        """What the page shows."""
        return self.frame.evaluate(STATE)

    def close(self):
        """Close the page."""
        self.page.context.close()


def launch():
    """A browser; where there is none the test is skipped, or fails when CHROMA_PROJECTOR_BROWSER is `required`."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        reason = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CHROMA_PROJECTOR_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    driver = sync_playwright().start()
    return driver, driver.chromium.launch(executable_path=found, args=FLAGS, headless=True)
