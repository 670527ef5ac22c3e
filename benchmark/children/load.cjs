// Prints how long loading a package takes until its native code is there: `load.cjs <peer> <folder of this package>`.
const loaders = {
  ours: () => require(process.argv[3]),
  // It loads its native code with its first database.
  'better-sqlite3': () => new (require('better-sqlite3'))(':memory:'),
  'bun:sqlite': () => new (require('bun:sqlite').Database)(':memory:'),
  lmdb: () => require('lmdb'),
  nedb: () => require('@seald-io/nedb'),
}

const start = performance.now()
loaders[process.argv[2]]()
const milliseconds = performance.now() - start
console.log(JSON.stringify({ milliseconds }))
process.exit()
