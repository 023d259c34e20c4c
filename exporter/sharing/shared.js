// What a page that is handed on does by itself: it gives TensorBoard's Projector the files that it carries, as blobs,
// and lets a click in the table select the point. Nothing is fetched from anywhere else; the page's policy forbids it.
(async () => {
  'use strict';

  const LOOK_AFTER = 50; // milliseconds between two looks whether the Projector has come further

  const picture = document.getElementById('picture');
  const { tensors, rows } = JSON.parse(document.getElementById('tensors').textContent);

  const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  /** The address of a blob with a carried file's content; the text it was carried as is let go. */
  async function unpacked(carried) {
    const text = atob(carried.textContent);
    carried.remove();
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return URL.createObjectURL(await new Response(unzipped).blob());
  }

  function say(text) {
    const message = document.createElement('p');
    message.className = 'message';
    message.textContent = text;
    picture.replaceChildren(message);
  }

  let projector = null;

  function select(line) {
    if (projector?.dataSet?.points.length !== rows) return; // not there yet, or a part of the points is isolated
    for (const other of document.querySelectorAll('tr.selected')) other.classList.remove('selected');
    line.classList.add('selected');
    projector.notifySelectionChanged([Number(line.dataset.row)]);
  }

  for (const line of document.querySelectorAll('tr[data-row]')) {
    line.addEventListener('click', () => select(line));
    line.addEventListener('keydown', (event) => event.key === 'Enter' && select(line));
  }

  try {
    const addresses = {};
    for (const carried of document.querySelectorAll('script.file')) {
      addresses[carried.dataset.name] = await unpacked(carried);
    }
    const embeddings = tensors.map((tensor) => ({
      tensorName: tensor.name,
      tensorShape: tensor.shape,
      tensorPath: `${addresses[tensor.file]}#.bytes`, // by this ending the Projector knows that it is no text
      metadataPath: addresses[tensor.metadata],
      ...(tensor.bookmarks && { bookmarksPath: addresses[tensor.bookmarks] }),
      ...(tensor.sprite && { sprite: { imagePath: addresses[tensor.sprite], singleImageDim: tensor.cell } }),
    }));
    const config = URL.createObjectURL(new Blob([JSON.stringify({ embeddings })]));
    projector = document.createElement('vz-projector');
    projector.setAttribute('serving-mode', 'demo');
    projector.setAttribute('route-prefix', '');
    projector.setAttribute('projector-config-json-path', config);
    picture.replaceChildren(projector);
    while (!projector.dataPanel?.shadowRoot) await pause(LOOK_AFTER);
    const publish = projector.dataPanel.shadowRoot.querySelector('#publish-container');
    if (publish) publish.style.display = 'none'; // it would name addresses that only this tab knows
  } catch (error) {
    console.error(error);
    say(`The picture can't be shown (${error.message}); a current Firefox, Chrome or Safari shows it.`);
  }
})();
