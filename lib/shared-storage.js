'use strict'

const { asyncDispose } = require('./async-dispose.js')
const { ProjectStorageV2 } = require('./project-storage.js')

let current
let basePath

/** Returns the storage under the working directory of the first call, opening it again after it was closed. */
function storage() {
  basePath ??= process.cwd()
  return (current ??= new ProjectStorageV2({ basePath }))
}

/** The ready-made object that the server imports. Its functions need no `this`. */
const projectStorage = Object.create(ProjectStorageV2.prototype)

const methods = new Set()
for (let type = ProjectStorageV2.prototype; type !== Object.prototype; type = Object.getPrototypeOf(type)) {
  for (const [name, { value }] of Reflect.ownKeys(type).map((name) => [name, Object.getOwnPropertyDescriptor(type, name)])) {
    if (name !== 'constructor' && typeof value === 'function') methods.add(name)
  }
}

for (const name of methods) {
  Object.defineProperty(projectStorage, name, {
    value: (...args) => {
      const used = storage()
      const answer = used[name](...args)
      return answer === used ? projectStorage : answer
    },
    enumerable: typeof name === 'string',
    configurable: true,
    writable: true,
  })
}

for (const name of ['options', 'basePath', 'dataDir']) {
  Object.defineProperty(projectStorage, name, { get: () => storage()[name], enumerable: true, configurable: true })
}

async function close() {
  const closing = current
  current = undefined
  await closing?.close()
}

projectStorage.close = close
projectStorage[asyncDispose] = close

module.exports = { projectStorage }
