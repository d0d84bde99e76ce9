// The layer rule: imports point down, never up. `npm test` runs this as its first stage.
//
// A room may import every room of the layers below its own, and sideways only what `sideways` lists.

/** From the top to the bottom. */
const layers = [
  ['cli'],
  ['control', 'agent'],
  ['drills', 'replicas', 'moves', 'fleet', 'lab'],
  ['overlay', 'sites', 'pods', 'credentials', 'ring', 'measure', 'journal'],
  ['runtime'],
  ['contract'],
];

/** Imports between rooms of one layer that are right all the same, each with its reason. */
const sideways = [
  {
    from: 'overlay',
    to: 'ring',
    reason: 'the directory keeps location records on the nodes that the ring names as responsible',
  },
  {
    from: 'overlay',
    to: 'credentials',
    reason: 'nodes judge certificates by the one function that says what a certificate allows',
  },
  {
    from: 'sites',
    to: 'pods',
    reason: 'a hosting site is a machine that runs pods',
  },
  {
    from: 'replicas',
    to: 'moves',
    reason: 'a replica starts as a copy that travels the way of a move',
  },
  {
    from: 'drills',
    to: 'lab',
    reason: 'the guard lets a flood out only into namespaces that the lab says it made',
  },
];

/** What the shells beside core may take from it. `cli` lies in core and may take everything below. */
const shells = [
  {
    from: 'electron',
    to: ['control', 'runtime', 'contract'],
    reason: 'Electron is a thin shell around core/control',
  },
  {
    from: 'renderer',
    to: ['contract'],
    reason: 'a view knows the contract and nothing else of core; permissions and state are core’s',
  },
];

const rooms = layers.flat();
const oneOf = (names) => `(${names.join('|')})`;

function allowedFor(room) {
  const below = layers.slice(layers.findIndex((layer) => layer.includes(room)) + 1).flat();
  const beside = sideways.filter(({ from }) => from === room).map(({ to }) => to);
  return [room, ...beside, ...below];
}

const roomRules = rooms.map((room) => ({
  name: `imports-of-${room}`,
  severity: 'error',
  comment: `core/${room} may import ${allowedFor(room).slice(1).join(', ') || 'no other room'}.`,
  from: { path: `^core/${room}/` },
  to: { path: '^core/', pathNot: `^core/${oneOf(allowedFor(room))}/` },
}));

const shellRules = shells.map(({ from, to, reason }) => ({
  name: `imports-of-${from}`,
  severity: 'error',
  comment: `${reason}: of core it may import ${to.join(', ')}.`,
  from: { path: `^${from}/` },
  to: { path: '^core/', pathNot: `^core/${oneOf(to)}/` },
}));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...roomRules,
    ...shellRules,
    {
      name: 'every-file-has-a-room',
      severity: 'error',
      comment: 'A file of core lies in one of the rooms that this check knows.',
      from: {},
      to: { path: '^core/', pathNot: `^core/${oneOf(rooms)}/` },
    },
    {
      name: 'shells-know-not-each-other',
      severity: 'error',
      comment: 'Window, browser and terminal are three shells over one contract.',
      from: { path: '^(electron|renderer)/' },
      to: { path: '^(electron|renderer)/', pathNot: '^$1/' },
    },
    {
      name: 'core-knows-no-shell',
      severity: 'error',
      comment: 'Core runs in plain Node: no Electron, no DOM library, no file of a window.',
      from: { path: '^core/' },
      to: {
        path: [
          '^(electron|renderer)/',
          '^(electron|react|react-dom|zustand|@xyflow/react)(/|$)',
          'node_modules/(electron|react|react-dom|zustand|@xyflow/react)/',
        ],
      },
    },
    {
      name: 'views-know-no-node',
      severity: 'error',
      comment: 'The renderer and the contract that it imports run in a browser: no Node module there.',
      from: { path: '^(renderer|core/contract)/', pathNot: '^renderer/vite\\.config\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'set-up-stands-alone',
      severity: 'error',
      comment:
        'Set-up runs on Node 20 before any package is there: it imports itself and Node, nothing else. ' +
        'Only the build, its last step, uses packages.',
      from: { path: '^core/cli/bootstrap/', pathNot: '/build\\.mjs$' },
      to: {
        pathNot: '^core/cli/bootstrap/',
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'only-set-up-knows-set-up',
      severity: 'error',
      comment: 'Set-up is plain JavaScript for Node 20; the product does not lean on it.',
      from: { path: '^(core|electron|renderer)/', pathNot: '^core/cli/bootstrap/' },
      to: { path: '^core/cli/bootstrap/' },
    },
    {
      name: 'product-imports-no-test',
      severity: 'error',
      comment: 'What is shipped does not import tests.',
      from: { path: '^(core|electron|renderer)/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      comment: 'A cycle, of types too, means that two files are one thing, or that a third is missing.',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'An import that leads nowhere cannot be judged.',
      from: {},
      to: { couldNotResolve: true, pathNot: '^(electron$|node:)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['^dist/', '^release/'] },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.tsx', '.mjs', '.cjs', '.js', '.json'],
    },
  },
};
