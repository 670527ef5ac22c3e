// Reads projects that were edited by hand, in a process where every warning is an error.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ProjectStorageV2 } from '../../index.mjs'

const basePath = process.argv[2]
const storage = new ProjectStorageV2({ basePath })
const project = await storage.create({ name: 'a', path: '/a' })
await storage.close()
await writeFile(join(basePath, 'data/project_storage/projects.json'), JSON.stringify({ [project.id]: { ...project, name: 'edited' } }))
process.emitWarning = (message) => {
  throw new Error(`refused: ${message}`)
}
process.on('uncaughtException', ({ message }) => console.log(message.split(':')[0]))
const again = new ProjectStorageV2({ basePath })
const listing = again.list()
// The warning and the answer then arrive together.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
console.log((await listing).map(({ name }) => name).join())
await again.close()
