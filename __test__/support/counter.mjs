// Counts up in the contents of two files, both in one batch, and prints each number as soon as it is acknowledged.
// Arguments: base path, project id, the ids of the files, how far to count, how long the contents are at least.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, project, one, other, count, length] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base, durability: 'os' })
const files = storage.getFileStorage(project)
for (let n = 1; n <= Number(count); n++) {
  await files.updateMany([one, other].map((id) => ({ id, data: { content: String(n).padEnd(Number(length)) } })))
  writeSync(1, `${n}\n`)
}
await storage.close()
