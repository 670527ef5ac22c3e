// Streams a large content. Arguments: base path, then what to do:
// `measure` stores 128 MiB, reads them and prints by how many MiB the peak of the process's memory rose;
// `keep` stores 6 MiB, prints the ids of project and file, and waits until it is killed.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, mode] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base })
const project = await storage.create({ name: 'p', path: '/p' })
const files = storage.getFileStorage(project.id)
const block = Buffer.alloc(64 * 1024, 'some text\n')

function* blocks(mebibytes) {
  for (let at = 0; at < mebibytes * 16; at++) yield block
}

/** Bun and Node report KiB, unless the system does not. */
const peak = () => process.resourceUsage().maxRSS / 1024

async function lengthOf(id) {
  let length = 0
  for await (const chunk of files.createContentStream(id)) length += chunk.length
  return length
}

if (mode === 'measure') {
  const small = await files.createFromStream({ name: 'a', path: 'a' }, blocks(1))
  await lengthOf(small.id)
  const before = peak()
  const { id, size } = await files.createFromStream({ name: 'b', path: 'b' }, blocks(128))
  const length = await lengthOf(id)
  await storage.close()
  writeSync(1, `${JSON.stringify({ size, length, rise: peak() - before })}\n`)
} else {
  const { id } = await files.createFromStream({ name: 'a', path: 'a' }, blocks(6))
  writeSync(1, `${project.id} ${id}\n`)
  setInterval(() => {}, 60_000)
}
