// Writes a few projects, prints their ids, and exits without closing the storage.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, how] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base })
const create = async (n) => {
  const { id } = await storage.create({ name: `p${n}`, path: `/p${n}` })
  writeSync(1, `${id}\n`)
}

if (how === 'exit-in-the-middle') {
  const running = Array.from({ length: 50 }, (_, n) => create(n))
  await Promise.race(running)
  process.exit(7)
}
for (let n = 0; n < 5; n++) await create(n)
if (how === 'exit') process.exit(7)
if (how === 'throw') throw new Error('on purpose')
