// What our own server adds to TensorBoard's Projector: a run opens on its answer.
//
// Stock TensorBoard opens on a picture of its own, applies no bookmark, and centres and scales the vectors before it
// looks for neighbours. This script changes that for runs of ours, and draws a box that says what is seen. It goes in
// through the page's own objects, by the names that they have in TensorBoard 2.21; where one of these is missing it
// touches nothing and says so in the console: the stock page is the floor. Foreign text is set as text, never as HTML.
(() => {
  'use strict';

  const STAR = 1.5; // times larger than the page would draw it
  const LINES = 0.6; // opacity; the page's own 0.2 is hard to see
  const LOOK_AFTER = 30; // milliseconds between two looks whether the page has come further
  const BOOKMARKS_WITHIN = 20_000; // milliseconds; then the run opens as the page would have it
  const NEWS_EVERY = 3_000; // milliseconds

  const ORANGE = '#CC5200';
  const GREEN = '#00704A';

  /** What must be there, or nothing is touched: the object, and the names of its functions that are used here. */
  const KNOWN = {
    projector: ['updateDataSet', 'setCurrentDataSet', 'notifyDistanceMetricChanged', 'notifySelectionChanged'],
    dataPanel: ['setNormalizeData', '_selectedTensorChanged', '_generateUiForNewCheckpointForRun'],
    bookmarkPanel: ['loadSavedState', 'setSelectionState'],
    inspectorPanel: ['updateNeighborsList'],
    adapter: [
      'generatePointScaleFactorArray',
      'generateLineSegmentOpacityArray',
      'generateVisibleLabelRenderParams',
      'updateScatterPlotAttributes',
      'render',
    ],
    provider: [
      'retrieveRuns',
      'retrieveProjectorConfig',
      'retrieveTensor',
      'retrieveSpriteAndMetadata',
      'getBookmarks',
    ],
  };

  const { token } = document.currentScript.dataset; // a token: questions can be asked
  const carried = document.getElementById('chroma-projector-facts'); // a page that is handed on: no server behind it
  const wanted = askedForInTheAddress();
  let page = null; // the page's own objects, under the names of KNOWN
  let off = false; // something was not as it should be: everything is the page's own from then on

  // ---------------------------------------------------------------- getting in

  customElements.whenDefined('vz-projector-data-panel').then(() => {
    const panel = customElements.get('vz-projector-data-panel').prototype;
    if (typeof panel.initialize !== 'function') return giveUp('vz-projector-data-panel.initialize');
    const initialize = panel.initialize; // called once, when all objects are there and before any data is asked for
    panel.initialize = function (projector, provider) {
      guarded(() => enter(projector, this, provider));
      return initialize.call(this, projector, provider);
    };
  });

  window.addEventListener('load', () => {
    if (!customElements.get('vz-projector-data-panel')) giveUp('vz-projector-data-panel');
  });

  function enter(projector, dataPanel, provider) {
    const { bookmarkPanel, inspectorPanel, projectorScatterPlotAdapter: adapter } = projector;
    const found = { projector, dataPanel, bookmarkPanel, inspectorPanel, adapter, provider };
    for (const [object, names] of Object.entries(KNOWN)) {
      const missing = names.find((name) => typeof found[object]?.[name] !== 'function');
      if (missing) return giveUp(`${object}.${missing}`);
    }
    const stage = projector.shadowRoot?.querySelector('.stage');
    if (!stage) return giveUp('.stage');
    page = { ...found, stage };
    openOnWhatIsWanted();
    forgetWhatComesLate();
    leaveVectorsAsTheyAre();
    drawMoreClearly();
    letAsk();
    if (!carried) watchForNews();
  }

  function giveUp(missing) {
    off = true;
    console.warn(
      `chroma-projector: this page has no ${missing} as TensorBoard 2.21 has it, so it is left as TensorBoard made it`,
    );
  }

  /** The value, or nothing when it fails: then the console says why, and everything is the page's own from then on. */
  function guarded(work) {
    try {
      return work();
    } catch (error) {
      off = true;
      console.warn('chroma-projector: the page is left as TensorBoard made it from here on:', error);
      return undefined;
    }
  }

  /** `before` may change what a function of the page is given, `after` what it returns; `this` is the page's object. */
  function around(object, name, { before, after }) {
    const own = object[name];
    object[name] = function (...given) {
      const changed = before && !off ? guarded(() => before.apply(this, given)) : undefined;
      const result = own.apply(this, changed || given);
      const better = after && !off ? guarded(() => after.call(this, result, ...given)) : undefined;
      return better === undefined ? result : better;
    };
  }

  // ---------------------------------------------------------------- which run and tensor

  /** `?run=` and `?tensor=` of the page, or of TensorBoard around it. */
  function askedForInTheAddress() {
    let search = window.location.search;
    try {
      if (window.top.location.search) search = window.top.location.search;
    } catch {
      // inside a page of another origin, as in some notebooks: its address can't be read
    }
    const parameters = new URLSearchParams(search);
    return { run: parameters.get('run'), tensor: parameters.get('tensor') };
  }

  function openOnWhatIsWanted() {
    const { provider, dataPanel } = page;
    around(provider, 'retrieveRuns', {
      before: (done) => [(runs) => done(runs.includes(wanted.run) ? first(wanted.run, runs) : runs)],
    });
    const changed = dataPanel._selectedTensorChanged;
    dataPanel._selectedTensorChanged = function () {
      const name = off ? undefined : guarded(() => takeWantedTensor(this));
      if (name && name !== this.selectedTensor) this.selectedTensor = name; // the page then comes back here
      else changed.call(this);
    };
  }

  function first(run, runs) {
    return [run, ...runs.filter((other) => other !== run)];
  }

  /** By its name, or by that without the number in front and the hash behind: `map` for `2 map 3f9c`. */
  function takeWantedTensor(panel) {
    if (!wanted.tensor || !panel.selectedTensor) return undefined;
    const names = (panel.tensorNames || []).map((tensor) => tensor.name);
    const name = names.find((each) => each === wanted.tensor) || names.find((each) => kindOf(each) === wanted.tensor);
    wanted.tensor = null;
    return name;
  }

  function kindOf(tensor) {
    return String(tensor)
      .replace(/^\d+ /, '')
      .replace(/ [0-9a-f]{4}$/, '');
  }

  /** Another run or tensor may be chosen while one is on its way; the page would show whichever comes last. */
  function forgetWhatComesLate() {
    const { provider, dataPanel } = page;
    const ofRun = (run, done) => (found) => {
      if (off || run === dataPanel.selectedRun) done(found);
    };
    const ofTensor = (run, tensor, done) => (found) => {
      if (off || (run === dataPanel.selectedRun && tensor === dataPanel.selectedTensor)) done(found);
    };
    around(provider, 'retrieveProjectorConfig', { before: (run, done) => [run, ofRun(run, done)] });
    for (const name of ['retrieveTensor', 'retrieveSpriteAndMetadata', 'getBookmarks']) {
      around(provider, name, { before: (run, tensor, done) => [run, tensor, ofTensor(run, tensor, done)] });
    }
  }

  /** Go to a run, also to one that the page does not know yet, or that was written anew. */
  function show(run, runs = page.dataPanel.runNames) {
    const { provider, dataPanel } = page;
    if (provider.runProjectorConfigCache) delete provider.runProjectorConfigCache[run];
    dataPanel.runNames = runs.includes(run) ? runs : [run, ...runs];
    if (dataPanel.selectedRun === run) dataPanel._generateUiForNewCheckpointForRun(run);
    else dataPanel.selectedRun = run;
  }

  // ---------------------------------------------------------------- the data, as it comes

  /** Spherize off before the page computes anything, and the first bookmark once it has. */
  function leaveVectorsAsTheyAre() {
    const { projector, dataPanel, stage } = page;
    let isNew = false;
    around(projector, 'updateDataSet', {
      before: (dataSet, metadata, metadataPath) => {
        const entry = dataPanel.projectorConfig?.embeddings?.find((each) => each.tensorName === dataPanel.selectedTensor);
        const isUploaded = metadataPath !== entry?.metadataPath;
        isNew = Boolean(dataSet) && !isUploaded && isOurs(metadata?.pointsInfo?.[0], true);
        seen.replaceChildren();
        hits.remove();
        delete stage.dataset.opened;
      },
      after: (result, dataSet) => {
        if (isNew) open(projector.dataSet);
        if (dataSet && !isNew) {
          box.remove();
          stage.dataset.opened = '';
        }
        isNew = false;
      },
    });
    around(projector, 'setCurrentDataSet', {
      before: () => {
        if (!isNew) return; // a person has ticked Spherize, or isolates points
        projector.normalizeData = false;
        dataPanel.setNormalizeData(false);
      },
    });
  }

  /** A run of ours; of two runs on one map, when `joint` may be meant too. */
  function isOurs(metadata, joint = false) {
    const has = (...columns) => columns.every((column) => column in metadata);
    return Boolean(metadata) && has('role', 'is_question') && (has('closeness') || (joint && has('system', 'moved')));
  }

  async function open(dataSet) {
    const { projector, dataPanel, bookmarkPanel, stage } = page;
    const { selectedRun: run, selectedTensor: tensor } = dataPanel;
    const isShown = () => !off && projector.dataSet === dataSet;
    const facts = await factsOf(run);
    if (!isShown()) return;
    guarded(() => measureAsTheCollectionDoes(facts, tensor, dataSet));
    guarded(() => showBox(facts, run, tensor, dataSet));
    if (token) news().then((runs) => guarded(() => showEarlier(runs)));
    const end = Date.now() + BOOKMARKS_WITHIN;
    // a bookmark that is loaded before the page's PCA has ended would be overwritten by it
    const isReady = () => projector.projection?.dataSet === dataSet && dataSet.projections['pca-0'];
    const hasBookmarks = () => Boolean(bookmarkPanel.savedStates?.length);
    while (isShown() && !(isReady() && (hasBookmarks() || Date.now() > end))) await pause(LOOK_AFTER);
    if (!isShown()) return;
    guarded(() => {
      showWhatIsChosen();
      if (hasBookmarks()) {
        bookmarkPanel.loadSavedState(0);
        bookmarkPanel.setSelectionState(0, true);
      }
      stage.dataset.opened = tensor; // for whoever waits for it
    });
  }

  /** The page's own list of tensors shows none when all names change at once, as those of ours do with their hashes. */
  function showWhatIsChosen() {
    for (const list of page.dataPanel.shadowRoot.querySelectorAll('paper-listbox')) list._updateSelected?.();
  }

  function pause(milliseconds) {
    return new Promise((done) => setTimeout(done, milliseconds));
  }

  /** What the server, or the page itself, knows of a run; null for runs of other tools. */
  async function factsOf(run) {
    if (carried) return JSON.parse(carried.textContent);
    try {
      const answer = await fetch(`run_facts?run=${encodeURIComponent(run)}`);
      return answer.ok ? await answer.json() : null;
    } catch {
      return null; // the server has gone: what the page has, it can still show
    }
  }

  /**
   * The inspector's neighbours of the question are then the collection's: by its own metric among all dimensions, by
   * the distance from the middle on the dartboard, whose radius is the rank.
   */
  function measureAsTheCollectionDoes(facts, tensor, dataSet) {
    const { projector, inspectorPanel } = page;
    const links = ['cosine', 'euclidean'].map((name) => inspectorPanel.shadowRoot.querySelector(`.distance a.${name}`));
    if (links.includes(null)) return;
    const metric = kindOf(tensor) === 'vectors' && facts ? facts.metric : 'l2';
    if (metric === 'l2') {
      // a click on EUCLIDEAN, but that nothing is selected yet whose neighbours it could list
      dataSet.findNeighbors = () => [];
      links[1].onclick();
      delete dataSet.findNeighbors;
      return;
    }
    inspectorPanel.distFunc = metric === 'ip' ? innerProduct : cosine;
    projector.notifyDistanceMetricChanged(inspectorPanel.distFunc);
    links[0].classList.toggle('selected', metric === 'cosine');
    links[1].classList.remove('selected');
  }

  function dot(one, other) {
    let sum = 0;
    for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
    return sum;
  }

  function innerProduct(one, other) {
    return 1 - dot(one, other);
  }

  /** The page's own is not a number where a vector has length 0, and puts that anywhere. */
  function cosine(one, other) {
    const lengths = Math.sqrt(dot(one, one) * dot(other, other));
    return lengths > 0 ? 1 - dot(one, other) / lengths : 1;
  }

  // ---------------------------------------------------------------- drawn more clearly

  const marks = new WeakMap(); // data set -> rows of its questions, and of its best-ranked answer

  function marksOf(dataSet) {
    if (!isOurs(dataSet?.points[0]?.metadata)) return { questions: [], answer: undefined };
    if (!marks.has(dataSet)) {
      const rows = [...dataSet.points.keys()];
      const role = (row) => dataSet.points[row].metadata.role;
      const rank = (row) => dataSet.points[row].metadata.rank;
      // two runs on one map: no answer is the best of both
      const two = ['system', 'moved', 'verdict'].every((column) => column in dataSet.points[0].metadata);
      const answers = two ? [] : rows.filter((row) => ['answer', 'retrieved+answer'].includes(role(row)));
      marks.set(dataSet, {
        questions: rows.filter((row) => role(row) === 'question'),
        answer: answers.reduce((best, row) => (best === undefined || rank(row) < rank(best) ? row : best), undefined),
      });
    }
    return marks.get(dataSet);
  }

  function drawMoreClearly() {
    const { adapter } = page;
    around(adapter, 'generatePointScaleFactorArray', {
      after: (scales, dataSet) => {
        for (const row of marksOf(dataSet).questions) scales[row] *= STAR;
      },
    });
    around(adapter, 'generateLineSegmentOpacityArray', {
      after: (opacities, dataSet, selected) => {
        if (!selected?.length && marksOf(dataSet).questions.length) opacities.fill(LINES);
      },
    });
    const alone = (dataSet, selected) => !selected?.length && marksOf(dataSet).answer !== undefined;
    around(adapter, 'generateVisibleLabelRenderParams', {
      // one label: ten would hide the hits
      before: (dataSet, selected, neighbours, hovered) =>
        alone(dataSet, selected) ? [dataSet, [marksOf(dataSet).answer], neighbours, hovered] : undefined,
      after: (labels, dataSet, selected, neighbours, hovered) => {
        const place = hovered === null || hovered === undefined ? 0 : 1; // what is under the mouse comes first
        if (alone(dataSet, selected)) labels.labelStrings[place] = `\u2003${labels.labelStrings[place]}`; // not on its glyph
      },
    });
  }

  // ---------------------------------------------------------------- the box

  const PAPER = {
    position: 'absolute',
    left: '16px',
    bottom: '14px',
    boxSizing: 'border-box',
    width: '340px',
    maxWidth: 'calc(50% - 20px)', // there is one in each corner
    maxHeight: 'calc(100% - 28px)',
    overflowY: 'auto',
    padding: '8px 12px',
    background: 'rgba(255, 255, 255, 0.94)',
    color: '#111',
    border: '1px solid #ddd',
    borderRadius: '6px',
    font: '14px/1.5 Roboto, sans-serif',
    overflowWrap: 'anywhere',
    zIndex: '1',
  };
  const QUIET = { color: '#555', fontSize: '12px' };
  const FIELD = { boxSizing: 'border-box', width: '100%', margin: '2px 0', padding: '3px 6px', font: 'inherit' };

  /** An element with texts and elements in it; texts stay texts. */
  function element(name, style, ...content) {
    const made = document.createElement(name);
    Object.assign(made.style, style);
    made.append(...content.filter((part) => part !== null && part !== undefined));
    return made;
  }

  function strong(text) {
    return element('b', {}, String(text));
  }

  function coloured(colour, glyph) {
    return element('span', { color: colour }, `${glyph} `);
  }

  function link(text, act) {
    const made = element('a', { color: '#0b57d0', cursor: 'pointer' }, text);
    made.href = '#';
    made.addEventListener('click', (event) => {
      event.preventDefault();
      guarded(act);
    });
    return made;
  }

  const box = element('div', PAPER);
  box.id = 'chroma-projector-box';
  box.setAttribute('role', 'note');
  box.addEventListener('keydown', (event) => event.stopPropagation()); // the plot listens to some keys
  const seen = element('div', {}); // what is seen of the run that is shown
  const earlier = element('div', { ...QUIET, maxHeight: '3em', overflowY: 'auto' });
  box.append(seen);
  const hits = element('div', { ...PAPER, left: 'auto', right: '16px' });
  hits.id = 'chroma-projector-hits';

  function showBox(facts, run, tensor, dataSet) {
    hits.remove();
    seen.replaceChildren(...(facts ? whatIsSeen(facts, run, tensor, dataSet) : []));
    if (facts) page.stage.append(box);
    else box.remove(); // nothing can be said of it, nor asked
  }

  /** The question, what came back for it, and where the answer is. */
  function whatIsSeen(facts, run, tensor, dataSet) {
    const kind = kindOf(tensor);
    const place = kind === 'around_question' ? facts.focus : 0;
    const question = facts.questions[place];
    if (!question) return [];
    const several = facts.count > 1 ? `q${place + 1} of ${facts.count}: ` : '';
    const came = question.lost ? 'returned by the application' : 'retrieved';
    return [
      element('div', { fontWeight: '700', maxHeight: '6em', overflowY: 'auto' }, `★ ${several}${question.text}`),
      element('div', {}, coloured(ORANGE, '●'), `${question.hits.length} ${came}, the number is the rank`),
      question.lost ? element('div', QUIET, question.lost) : null,
      element('div', {}, ...answerLine(question)),
      facts.asked?.over === 'run' && question.answers
        ? element('div', QUIET, `as far as the first ${facts.text_length} characters of each chunk tell`)
        : null,
      element('div', {}, ...rankLine(question, kind)),
      neighbourLine(question, kind),
      lastLine(facts, run, question, listOfHits(question, dataSet)),
    ].filter((line) => line !== null);
  }

  function answerLine(question) {
    if (!question.answers && !question.holding) return [coloured(GREEN, '■'), 'no answer was given, so none is marked'];
    if (!question.holding) return [coloured(GREEN, '■'), 'holds the answer: ', strong('no chunk does')];
    const retrieved = question.hits.filter((hit) => hit.contains_answer).length;
    return [coloured(GREEN, '■'), 'holds the answer: retrieved ', strong(`${retrieved} of ${question.holding}`)];
  }

  function rankLine(question, kind) {
    const meaning = {
      around_question: 'nearer the middle = nearer the question',
      map: 'chunks of one subject stand together',
    }[kind];
    if (!question.first_answer_rank) return meaning ? [meaning] : [];
    return ['first answer at rank ', strong(question.first_answer_rank), meaning ? `; ${meaning}` : ''];
  }

  /** In one line, where the list of nearest points is not the collection's. */
  function neighbourLine(question, kind) {
    if (kind === 'map') {
      return element('div', QUIET, '“Nearest points” are neighbours on this map; the collection’s are on vectors');
    }
    const share = question.page_neighbours?.ours;
    if (kind !== 'vectors' || share === undefined || share === 1) return null;
    const { top_k: count } = question;
    return element('div', QUIET, `“Nearest points” begins with ${Math.round(share * count)} of the top ${count}`);
  }

  /** Over what a question of the page was ranked, the way to keep it, and to the top k. */
  function lastLine({ asked }, run, question, list) {
    const named = question.lost ? 'what was returned' : `top ${question.top_k}`;
    const showHits = () => {
      hits.replaceChildren(...list);
      if (hits.isConnected) hits.remove();
      else page.stage.append(hits);
    };
    if (!asked) return element('div', QUIET, link(named, showHits));
    showHits();
    const over =
      asked.over === 'run'
        ? `ranked over the ${asked.chunks} chunks of ${asked.of}: ${asked.why}`
        : `ranked over the collection, ${asked.chunks} chunks`;
    const line = element('div', QUIET, `${over} · `, link(named, showHits));
    if (!token || asked.kept) return line;
    const name = field('name', 'A name for this run (optional), Enter');
    const keeping = form([name], () => send('keep', { run, name: name.value }, [name]));
    keeping.id = 'chroma-projector-keep';
    keeping.style.display = 'none';
    const keep = link('Keep', () => {
      keeping.style.display = '';
      name.focus();
    });
    line.append(' · ', keep, keeping);
    return line;
  }

  /** The top k, a line each; a click selects the point. */
  function listOfHits(question, dataSet) {
    const items = question.hits.map((hit) => {
      const printed = hit.page === null || hit.page === -1 ? '' : ` p. ${hit.page}`;
      const source = String(hit.source ?? hit.id).replace(/[/\\]+$/, '');
      const item = element(
        'div',
        { cursor: 'pointer', overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap' },
        strong(`#${hit.rank}`),
        ` ${hit.distance.toFixed(4)} `,
        hit.contains_answer ? coloured(GREEN, '■') : null,
        `${source.split(/[/\\]/).pop() || source}${printed} `,
        element('span', { color: '#555' }, hit.text),
      );
      item.className = 'hit';
      item.title = `${source}${printed}${hit.contains_answer ? ' (holds the answer)' : ''}: ${hit.text}`;
      item.tabIndex = 0;
      const select = () => guarded(() => selectHit(hit, dataSet));
      item.addEventListener('click', select);
      item.addEventListener('keydown', (event) => event.key === 'Enter' && select());
      return item;
    });
    const list = element('div', { fontSize: '12px', maxHeight: '190px', overflowY: 'auto' }, ...items);
    const title = element('div', QUIET, 'rank, distance, ', coloured(GREEN, '■'), 'holds the answer, source, text');
    return [title, list];
  }

  function selectHit(hit, dataSet) {
    const { projector } = page;
    if (projector.dataSet !== dataSet) return; // a part of the points is isolated, in which it may not be
    const row = dataSet.points.findIndex(({ metadata }) => [hit.id, `'${hit.id}`].includes(String(metadata.id)));
    if (row >= 0) projector.notifySelectionChanged([row]);
  }

  // ---------------------------------------------------------------- asking

  const status = element('div', QUIET);
  status.id = 'chroma-projector-status';
  status.setAttribute('role', 'status');

  /** A line to type in; Enter sends what it holds. */
  function field(name, hint) {
    const made = element('input', FIELD);
    Object.assign(made, { name, placeholder: hint, autocomplete: 'off' });
    made.setAttribute('aria-label', hint);
    return made;
  }

  function form(fields, send) {
    const made = element('form', {}, ...fields, element('input', { display: 'none' }));
    made.lastChild.type = 'submit'; // without one, Enter sends nothing where there are two fields
    made.addEventListener('submit', (event) => {
      event.preventDefault();
      guarded(() => send(made));
    });
    return made;
  }

  function letAsk() {
    if (!token) return;
    const question = field('question', 'Ask another question, Enter');
    const answer = field('answer', 'Words that its answer holds (optional)');
    answer.style.display = 'none';
    const asking = form([question, answer], () => {
      const run = page.dataPanel.selectedRun;
      send('ask', { run, question: question.value, answer: answer.value }, [question, answer]);
    });
    asking.id = 'chroma-projector-ask';
    asking.addEventListener('focusin', () => {
      answer.style.display = '';
    });
    box.append(element('div', { borderTop: '1px solid #eee', marginTop: '4px' }, asking, status, earlier));
  }

  async function send(kind, what, fields) {
    for (const each of fields) each.disabled = true;
    say(kind === 'ask' ? 'asking …' : 'keeping …');
    const answer = await said(kind, what);
    for (const each of fields) each.disabled = false;
    if (answer.error) {
      say(answer.error, '#b3261e');
      return;
    }
    say('');
    for (const each of fields) each.value = '';
    guarded(() => show(answer.done.run));
    showEarlier(await news());
  }

  function say(text, colour = QUIET.color) {
    status.textContent = text;
    status.style.color = colour;
  }

  /** The last line of what the server says; what it says before is shown while it lasts. */
  async function said(kind, what) {
    try {
      const answer = await fetch(kind, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Asking-Token': token },
        body: JSON.stringify(what),
      });
      let last = { error: `the server answers ${answer.status}` };
      for await (const line of lines(answer.body)) {
        last = JSON.parse(line);
        if (last.progress) say(`${last.progress} …`);
      }
      return last.done || last.error ? last : { error: 'the server has stopped in the middle: ask again' };
    } catch {
      return { error: 'the server can’t be reached: is it still running?' };
    }
  }

  async function* lines(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split('\n');
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  }

  /** The questions that were asked in this server, here or in another tab, and the run that they were asked of. */
  function showEarlier(runs) {
    const asked = (runs || []).filter((run) => run.asked && !run.asked.kept);
    const shown = page.dataPanel.selectedRun;
    const names = new Set(runs?.map((run) => run.name));
    const origins = [...new Set(asked.map((run) => run.asked.of))].filter((name) => names.has(name));
    const entries = [
      ...origins.map((name) => [name, `↩ ${name}`]),
      ...asked.map((run) => [run.name, `★ ${run.asked.question}`]),
    ].filter(([name]) => name !== shown);
    const items = entries.map(([name, text]) => {
      const item = link(text, () => show(name));
      item.title = text;
      const narrow = { display: 'inline-block', maxWidth: '48%', verticalAlign: 'bottom', marginRight: '6px' };
      Object.assign(item.style, narrow, { overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap' });
      return item;
    });
    earlier.replaceChildren(...items);
  }

  // ---------------------------------------------------------------- runs that appear meanwhile

  let notice = null;

  async function watchForNews() {
    let before = await news();
    while (!off) {
      await pause(NEWS_EVERY);
      if (document.visibilityState === 'hidden') continue;
      const now = await news();
      if (!now) continue;
      const known = new Map((before || now).map((run) => [run.name, run.stamp]));
      const isAnswer = (run) => run.asked && !run.asked.kept; // of a question: whoever asked has gone there
      const changed = now.find((run) => known.get(run.name) !== run.stamp && !isAnswer(run));
      const isShown = changed && !known.has(changed.name) && changed.name === page.dataPanel.selectedRun;
      if (changed && !isShown) guarded(() => tell(changed, known.has(changed.name), now));
      if (token && now.length !== known.size) guarded(() => showEarlier(now));
      before = now;
    }
  }

  async function news() {
    try {
      const answer = await fetch('news');
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  function tell(run, again, runs) {
    notice?.remove();
    const go = link('open it', () => {
      notice.remove();
      const names = runs.map((each) => each.name);
      show(run.name, names);
    });
    go.href = `projector_binary.html?run=${encodeURIComponent(run.name)}`;
    const close = link('×', () => notice.remove());
    close.title = 'Close';
    for (const each of [go, close]) each.style.marginLeft = '8px';
    const place = { ...PAPER, bottom: 'auto', top: '14px', left: '60px', width: 'auto' };
    notice = element('div', place, `${again ? 'Exported again' : 'New run'}: ${run.name}`, go, close);
    notice.id = 'chroma-projector-notice';
    notice.setAttribute('role', 'status');
    page.stage.append(notice);
  }
})();
