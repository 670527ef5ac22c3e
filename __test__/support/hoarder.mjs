// Reads a lot, as a server would, and prints how much memory that takes. Arguments: base path, what to do.
import { join } from 'node:path'
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { BaseStorage, ProjectStorageV2 } from '../../index.mjs'

const [base, work] = process.argv.slice(2)
const MIB = 1 << 20
const options = { basePath: base, durability: 'os' }
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)
const file = (n, content) => ({ name: `f${n}`, path: `f${n}`, content })

function collectGarbage() {
  if ('Bun' in globalThis) return globalThis.Bun.gc(true)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

class Notes extends BaseStorage {
  constructor(directory = 'notes') {
    const schema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }
    super(schema, schema, directory, options)
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'notes.json')
  }
  getEntityPath() {
    return null
  }
}

async function readAgainAndAgain(reads) {
  for (let round = 0; round < 3; round++) for (const read of reads) await read()
}

async function newFiles(basePath) {
  const storage = new ProjectStorageV2({ ...options, basePath })
  return storage.getFileStorage((await storage.create({ name: 'p', path: '/p' })).id)
}

const works = {
  async documents() {
    const files = await newFiles(base)
    const reads = []
    for (let n = 0; n < 60; n++) {
      const { id } = await files.create(file(n, 'x'.repeat(2 * MIB)))
      reads.push(() => files.getById(id), () => files.getByPath(`f${n}`))
    }
    // A document that no heap of this size can keep beside anything else.
    const content = 'x'.repeat(8 * MIB)
    const { id } = await files.create(file('large', content))
    reads.push(async () => {
      if ((await files.getById(id)).content !== content) throw new Error('another content')
    })
    await readAgainAndAgain(reads)
  },
  async nested() {
    const notes = new Notes()
    const reads = []
    for (let n = 0; n < 60; n++) {
      const { id } = await notes.create({ text: { parts: ['x'.repeat(MIB)] }, numbers: Array.from({ length: 50_000 }, (_, at) => at / 3) })
      reads.push(() => notes.getById(id))
    }
    await readAgainAndAgain(reads)
  },
  /** Each of these numbers is two bytes of JSON, but many times that in memory. */
  async numbers() {
    const numbers = (count) => ({ numbers: Array(count).fill(1) })
    const check = (notes, count) => {
      if (notes.some(({ numbers }) => numbers.length !== count)) throw new Error('another note')
    }
    const notes = new Notes()
    const reads = []
    for (let n = 0; n < 40; n++) {
      const { id } = await notes.create(numbers(450_000))
      reads.push(async () => check([await notes.getById(id)], 450_000))
    }
    for (let n = 0; n < 10; n++) {
      const few = new Notes(`few-${n}`)
      for (const count of [10_000, 90_000]) {
        // First the list is updated where it is kept, until it is too large for that.
        for (let note = 1; note <= 5; note++) {
          await few.writeAll({ ...(await few.readAll()), [note]: { id: note, ...numbers(count) } })
          for (let round = 0; round < 3; round++) await few.list()
        }
        reads.push(async () => check(await few.list(), 90_000))
      }
    }
    await readAgainAndAgain(reads)
  },
  async lists() {
    const open = []
    for (let n = 0; n < 30; n++) {
      const files = await newFiles(join(base, `${n}`))
      open.push(files)
      for (let at = 0; at < 60; at++) await files.create(file(at, 'x'.repeat(MIB / 10)))
      await readAgainAndAgain([() => files.list(), () => files.readAll()])
    }
    for (const files of open) await files.list()
  },
  /** Prints by how many bytes the heap grows for each project that does not exist. */
  async strangers() {
    const storage = new ProjectStorageV2(options)
    await storage.create({ name: 'p', path: '/p' })
    let project = 0
    const ask = async (count) => {
      for (let n = 0; n < count; n++) await storage.getProjectFiles((project += 1))
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const before = await ask(2000)
    say(((await ask(4000)) - before) / 4000)
  },
  async creations() {
    const notes = new Notes()
    const write = async (count) => {
      for (let n = 0; n < count; n++) await notes.create({})
      collectGarbage()
      return process.memoryUsage().heapUsed
    }
    const before = await write(2000)
    say(((await write(4000)) - before) / 4000)
    await notes.close()
  },
}

await works[work]()
process.exit()
