// Stores a file from a stream that stops half-way, and waits until it is killed. Arguments: base path, project.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, project] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base })

async function* half() {
  yield 'a'.repeat(1_000_000)
  // The previous piece has been received once the next one is asked for.
  writeSync(1, 'half-way\n')
  await new Promise((resolve) => setTimeout(resolve, 600_000))
}

await storage.getFileStorage(project).createFromStream({ name: 'a', path: 'a' }, half())
