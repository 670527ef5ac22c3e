// Works on a storage until it is killed, and prints what was acknowledged. Arguments: base path, a number of its own.
import { writeSync } from 'node:fs'
import { IndexManager, ProjectStorageV2 } from '../../index.mjs'
import { INDEX } from './model.mjs'

const [base, own] = process.argv.slice(2)
const options = { durability: own % 2 ? 'full' : 'os', lockTimeout: 60_000 }
const storage = new ProjectStorageV2({ basePath: base, ...options })
const indexes = new IndexManager(base, 'data/soak', options)
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)
const projects = []

/** Yields a content in pieces. */
async function* pieces(content) {
  for (let at = 0; at < content.length; at += 1000) yield content.slice(at, at + 1000)
}

async function textOf(stream) {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) text += decoder.decode(chunk, { stream: true })
  return text + decoder.decode()
}

async function work(n) {
  const dice = Math.random()
  const id = projects[n % projects.length]
  const name = `${own} ${n}`
  if (projects.length === 0 || (dice < 0.2 && projects.length < 40)) {
    const { id } = await storage.create({ name, path: `/${name}` })
    projects.push(id)
    say({ id, name })
  } else if (dice < 0.5) {
    say({ id, trying: name })
    await storage.update(id, { name })
    say({ id, name })
  } else if (dice < 0.7) {
    const content = `${name} ${'x'.repeat((n * 37) % 5000)}`
    const file = await storage.addFile(id, { name: `${n}`, path: `${own}/${n}`, content })
    say({ project: id, file: file.id, content })
    if (n % 9 === 0) await storage.createFileVersion(id, file.id, 'again')
  } else if (dice < 0.75) {
    const files = storage.getFileStorage(id)
    const content = `${name} é ${'y'.repeat((n * 997) % 100_000)}`
    const file = await files.createFromStream({ name: `${n}`, path: `${own}/stream ${n}` }, pieces(content))
    say({ project: id, file: file.id, content })
    if ((await textOf(files.createContentStream(file.id))) !== content) throw new Error(`the stream of file ${file.id} is wrong`)
  } else if (dice < 0.8) {
    say({ pair: name })
    const made = await storage.transaction(async (tx) => {
      const one = await tx.create({ name, path: '/one' })
      const other = await tx.create({ name, path: '/other' })
      return [one.id, other.id]
    })
    for (const id of made) say({ id, name })
  } else if (dice < 0.95) {
    await indexes.addToIndex(INDEX, name, { round: n, odd: n % 2 })
    say({ entity: name, key: n })
    const found = await indexes.query(INDEX, n)
    if (!found.includes(name)) throw new Error(`the index does not have ${name}`)
  } else {
    projects.splice(projects.indexOf(id), 1)
    say({ id, deleting: true })
    await storage.delete(id)
    say({ id, deleted: true })
  }
}

for (let n = 0; ; n++) {
  try {
    await work(n)
  } catch (error) {
    // A full disk refuses the write, and nothing has changed then.
    if (error.code !== 'IO_ERROR') throw error
    say({ refused: error.errno, outcome: error.outcome })
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
