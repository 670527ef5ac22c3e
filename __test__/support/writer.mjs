// Writes to a storage forever and prints a line for each write as soon as it is acknowledged. Arguments: base path, kind of
// writing, a tag that distinguishes this process's data, how many writes (0: until killed).
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, kind, tag, count] = process.argv.slice(2)
const limit = Number(count) || Infinity
const storage = new ProjectStorageV2({ basePath: base })
const acknowledge = (value) => writeSync(1, `${JSON.stringify(value)}\n`)

const project = await storage.create({ name: `project of ${tag}`, path: `/${tag}` })
acknowledge({ project: project.id })
const files = storage.getFileStorage(project.id)
const content = (n) => `${tag} ${n} ${'x'.repeat((n * 37) % 3000)}`
const file = (n) => ({ name: `${n}`, path: `${tag}/${n}`, content: content(n) })

const versions = {}
const kinds = {
  async projects(n) {
    const { id } = await storage.create({ name: `${tag} ${n}`, path: `/${tag}/${n}` })
    acknowledge({ created: id, name: `${tag} ${n}` })
  },
  async files(n) {
    const { id } = await files.create(file(n))
    acknowledge({ file: id, content: content(n) })
  },
  async batches(n) {
    const created = await files.createMany([0, 1, 2, 3, 4].map((k) => file(n * 5 + k)))
    acknowledge({ batch: created.map(({ id }) => id) })
  },
  async versions(n) {
    const first = (versions.first ??= (await files.create(file(0))).id)
    const { version } = await files.createVersion(first, content(n))
    acknowledge({ first, version, content: content(n) })
  },
  async concurrent(n) {
    await Promise.all([0, 1, 2, 3].map(async (k) => {
      const { id } = await files.create(file(n * 4 + k))
      acknowledge({ file: id, content: content(n * 4 + k) })
    }))
  },
  async deletes(n) {
    const { id } = await files.create(file(n))
    await files.delete(id)
    acknowledge({ deleted: id })
  },
}

for (let n = 1; n <= limit; n++) await kinds[kind](n)
await storage.close()
