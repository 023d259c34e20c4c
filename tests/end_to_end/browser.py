"""The Projector in a headless Chromium, and the way to what is inside its page."""

import io
import os
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

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
  const ours = document.querySelector('script[src="opening.js"]') && !window.leftAlone;
  return Boolean(page && page.dataSet && page.dataSet.points.length && page.projection &&
                 page.projection.projectionComponents && page.dataSet.projections['pca-0'] &&
                 (!ours || page.shadowRoot.querySelector('.stage').dataset.opened !== undefined));
};
window.pictureIsNew = () => !window.projector().dataSet?.seenBefore && window.pictureIsThere();
// a dialog fades away for a while, and greys what is under it
window.nothingInFront = () => !window.projector().shadowRoot.querySelector('#notification-dialog').opened &&
                              !document.querySelector('iron-overlay-backdrop');
"""

SHOW = """([run, tensor]) => {
  const page = window.projector(), data = window.panel('data-panel');
  if (run === data.selectedRun && (!tensor || tensor === data.selectedTensor)) return;
  page.dataSet.seenBefore = true;
  if (run !== data.selectedRun) data.selectedRun = run;
  else data.selectedTensor = tensor;
}"""

SCENE = """() => {
  const page = window.projector(), data = window.panel('data-panel'), inspector = window.panel('inspector-panel');
  const plot = page.projectorScatterPlotAdapter.scatterPlot, camera = plot.camera;
  const legend = [...data.shadowRoot.querySelectorAll('vz-projector-legend')]
    .flatMap((element) => [...element.shadowRoot.querySelectorAll('.item')])
    .filter((item) => item.getClientRects().length);
  return {
    positions: Array.from(plot.worldSpacePointPositions), colours: Array.from(plot.pointColors || []),
    scales: Array.from(plot.pointScaleFactors || []),
    view: Array.from(camera.matrixWorldInverse.elements), lens: Array.from(camera.projectionMatrix.elements),
    flat: Boolean(camera.isOrthographicCamera), width: plot.width, height: plot.height,
    components: page.projection.projectionComponents.filter(Boolean),
    shown: page.dataSet.points.map((point) => page.projection.projectionComponents.filter(Boolean)
      .map((name) => point.projections[name] ?? null)),
    labels: page.dataSet.points.map((point) => point.metadata.label),
    roles: page.dataSet.points.map((point) => point.metadata.role),
    groups: page.dataSet.points.map((point) => point.metadata.source_group),
    ids: page.dataSet.points.map((point) => point.metadata.id),
    selected: page.selectedPointIndices, colour: page.selectedColorOption.name,
    listed: [...inspector.shadowRoot.querySelectorAll('.matches-list .row')].map((row) => row.innerText),
    legend: legend.map((item) => [item.querySelector('.label').innerText,
                                  getComputedStyle(item.querySelector('.shape')).backgroundColor]),
    lines: page.dataSet.sequences.length, sprites: Boolean(page.dataSet.spriteAndMetadataInfo.spriteImage),
  };
}"""

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

COUNTS = """() => {
  const page = window.projector(), places = page.projectorScatterPlotAdapter.scatterPlot.worldSpacePointPositions;
  return [page.dataSet.points.length, places.length / 3, places.filter((place) => !Number.isFinite(place)).length];
}"""

CELL = 32
"""Pixels of a glyph in the sprite, for all but the biggest runs."""


@dataclass(frozen=True)
class Scene:
    """What the page draws. `positions` are in its cube from -1 to 1, `shown` the coordinates that were stretched to it,
    by `components`; `view` and `lens` are the camera's matrices. Lists have one entry a point, but `selected` and
    `listed`, the rows in the inspector, and `legend`, pairs of a value and its colour.
    """

    positions: np.ndarray
    colours: np.ndarray
    scales: np.ndarray
    view: np.ndarray
    lens: np.ndarray
    flat: bool
    width: int
    height: int
    components: list
    shown: np.ndarray
    labels: list
    roles: list
    groups: list
    ids: list
    selected: list
    colour: str
    listed: list
    legend: list
    lines: int
    sprites: bool

    @classmethod
    def read(cls, told):
        """From what SCENE gives."""
        for name in ("positions", "colours"):
            told[name] = np.array(told[name], float).reshape(-1, 3)
        for name in ("view", "lens"):
            told[name] = np.array(told[name]).reshape(4, 4).T
        return cls(**{**told, "scales": np.array(told["scales"]), "shown": np.array(told["shown"], float)})

    def project(self, positions=None):
        """Pixels from the left and from the top of the plot, and the distances from the camera."""
        positions = self.positions if positions is None else np.asarray(positions, float)
        seen = np.column_stack([positions, np.ones(len(positions))]) @ self.view.T
        clip = seen @ self.lens.T
        across, up = (clip[:, :2] / clip[:, 3:]).T
        return (across + 1) / 2 * self.width, (1 - up) / 2 * self.height, -seen[:, 2]

    def sizes(self):
        """Pixels that a glyph's cell is drawn across, as the page's shader says (scatterPlotVisualizerSprites.ts)."""
        if not self.flat:
            return np.maximum(30 / self.project()[2] * self.scales, 5)
        zoom = self.lens[0, 0] + 0.3
        grown = 1 + 0.9 / np.arctan(2) * np.arctan(2 * (zoom - 1))
        grown = grown if zoom < 1 else 1 + 28 / np.pi * np.arctan(0.02 * (zoom - 1))
        return np.maximum(CELL * grown * self.scales, 5)


class Projector:
    """One page. `faults` are the exceptions that it had, and the dialogs that a script opened."""

    def __init__(self, browser):
        self.page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        self.page.add_init_script(INSIDE)
        self.faults = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
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

    def show(self, run, tensor=None):
        """Choose a run, and a tensor whose name ends so, but for its hash, as the lists do; wait for its picture."""
        self.frame.evaluate(SHOW, [run, None])
        self.frame.wait_for_function("() => window.pictureIsNew()", timeout=90_000)
        if tensor is not None:
            names = self.frame.evaluate("() => window.panel('data-panel').tensorNames.map((tensor) => tensor.name)")
            named = next(name for name in names if name.rpartition(" ")[0].endswith(tensor))
            self.frame.evaluate(SHOW, [run, named])
            self.frame.wait_for_function("() => window.pictureIsNew()", timeout=90_000)
        self.settle()

    def settle(self):
        """Until no dialog, nor the shade of one, is in front. Then the camera is put where it is on opening, and kept
        there: it spins, and in software that takes all of a core.
        """
        self.frame.wait_for_function("() => window.nothingInFront()", timeout=30_000)
        self.frame.evaluate(
            """() => {
                const plot = window.projector().projectorScatterPlotAdapter.scatterPlot;
                plot.stopOrbitAnimation();
                plot.resetZoom();
            }"""
        )
        self.page.wait_for_timeout(100)

    def scene(self):
        """What is drawn, and how the camera sees it."""
        return Scene.read(self.frame.evaluate(SCENE))

    def counts(self):
        """How many points the data have, how many are drawn, and how many of these stand nowhere."""
        return self.frame.evaluate(COUNTS)

    def picture(self):
        """(height, width, 3) the pixels of the scatter plot alone."""
        box = self.frame.locator("vz-projector #scatter").bounding_box()
        shot = self.page.screenshot(clip=box)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)

    def bookmarks(self, at_least=1):
        """The labels of the bookmarks."""
        self.frame.wait_for_function(
            "(count) => window.panel('bookmark-panel').savedStates?.length >= count", arg=at_least, timeout=30_000
        )
        return self.frame.evaluate("() => window.panel('bookmark-panel').savedStates.map((state) => state.label)")

    def click_bookmark(self, place):
        """A click on the radio button of a bookmark."""
        row = self.frame.locator("vz-projector-bookmark-panel .state-row").nth(place)
        row.locator("paper-icon-button[icon^=radio]:visible").click(timeout=20_000)
        self.page.wait_for_timeout(100)

    def click_tab(self, name):
        """A click on the tab of a projection: umap, tsne, pca or custom."""
        self.frame.locator(f"vz-projector-projections-panel .ink-tab[data-tab={name}]").click(timeout=20_000)
        self.page.wait_for_timeout(100)

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
