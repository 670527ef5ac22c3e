// Works on a storage until it is killed, and says what was acknowledged. Arguments: base path, a number of its own.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [base, own] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base, durability: own % 2 ? 'full' : 'os', lockTimeout: 60_000 })
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)
const projects = []

for (let n = 0; ; n++) {
  const dice = Math.random()
  try {
    if (projects.length === 0 || (dice < 0.2 && projects.length < 40)) {
      const name = `${own} ${n}`
      const { id } = await storage.create({ name, path: `/${name}` })
      projects.push(id)
      say({ id, name })
    } else if (dice < 0.7) {
      const id = projects[n % projects.length]
      const name = `${own} ${n}`
      say({ id, trying: name })
      await storage.update(id, { name })
      say({ id, name })
    } else if (dice < 0.95) {
      const id = projects[n % projects.length]
      const content = `${own} ${n} ${'x'.repeat((n * 37) % 5000)}`
      const file = await storage.addFile(id, { name: `${n}`, path: `${own}/${n}`, content })
      say({ project: id, file: file.id, content })
      if (n % 9 === 0) await storage.createFileVersion(id, file.id, 'again')
    } else {
      const id = projects.shift()
      say({ id, deleting: true })
      await storage.delete(id)
      say({ id, deleted: true })
    }
  } catch (error) {
    // A disk that is full refuses; nothing changed then.
    if (error.code !== 'IO_ERROR') throw error
    say({ refused: error.errno, outcome: error.outcome })
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
