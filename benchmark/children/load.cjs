// Prints how long loading a package takes until its native code is there.
const loaders = {
  ours: () => require('../../index.js'),
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
