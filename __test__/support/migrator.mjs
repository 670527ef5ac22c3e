// Migrates in a process of its own and prints a line of JSON for each thing that happens. Arguments: base path, what to do,
// lockTimeout in milliseconds.
import { writeSync } from 'node:fs'
import { mkdir, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MigrationManager, ProjectStorageV2 } from '../../index.mjs'

const [base, what, lockTimeout = '30000'] = process.argv.slice(2)
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const data = join(base, 'data')

/** Changes everything that a migration can change, reporting each step, and then begins again. */
async function spoil({ basePath, version }) {
  const storage = new ProjectStorageV2({ basePath })
  const projects = await storage.list()
  for (let round = 0; ; round++) {
    const files = [0, 1, 2].map((n) => ({ name: `${n}`, path: `${round}/${n}`, content: 'x'.repeat(3000) }))
    const deep = join(data, `made-${round}`, 'deep')
    const steps = [
      () => storage.create({ name: `${version} ${round}`, path: '/new' }),
      () => storage.update(projects[0].id, { name: `changed ${round}` }),
      () => storage.getFileStorage(projects[0].id).createMany(files),
      () => writeFile(join(data, 'notes.txt'), `changed ${round}`),
      () => mkdir(deep, { recursive: true }).then(() => writeFile(join(deep, 'f'), 'f')),
      () => unlink(join(data, 'remove-me.bin')).catch(() => {}),
      () => rm(join(data, 'tree'), { recursive: true, force: true }),
      () => storage.delete(projects[1].id),
      () => storage.clearCache(),
    ]
    for (const [at, step] of steps.entries()) {
      await step()
      say({ step: round * steps.length + at })
    }
  }
}

const counted = (version, ms) => ({
  version,
  description: `about ${version}`,
  async up({ basePath }) {
    say({ up: version })
    const storage = new ProjectStorageV2({ basePath })
    await storage.create({ name: version, path: `/${version}` })
    await pause(ms)
    await storage.close()
  },
})

/** Returns a migration that waits, with its work done, until it is told to continue. */
const held = (end = () => {}) => ({
  version: '1.0.0',
  description: 'waits',
  async up({ basePath }) {
    const storage = new ProjectStorageV2({ basePath })
    await storage.create({ name: 'made by the migration', path: '/new' })
    say({ waiting: process.pid })
    await new Promise((resolve) => process.stdin.once('data', resolve))
    end()
    await storage.close()
  },
})

const deeds = {
  /** Runs until the process is killed. */
  async spoil(manager) {
    manager.register({ version: '1.0.0', description: 'first', up: () => writeFile(join(data, 'first.txt'), 'first') })
    manager.register({ version: '1.1.0', description: 'spoils', up: spoil })
    await manager.migrate()
  },
  /** Exits by itself in the middle of a migration. */
  async exit(manager) {
    manager.register({
      version: '1.0.0',
      description: 'leaves',
      async up() {
        await writeFile(join(data, 'notes.txt'), 'changed')
        process.exit(7)
      },
    })
    await manager.migrate()
  },
  async count(manager) {
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) manager.register(counted(version, 20))
    say(await manager.migrate())
  },
  /** Holds the data until it is told to continue. */
  async wait(manager) {
    manager.register(held())
    say(await manager.migrate())
    process.stdin.destroy()
  },
  async fail(manager) {
    manager.register(held(() => { throw new Error('it fails') }))
    await manager.migrate().catch((error) => say({ error: error.message }))
    process.stdin.destroy()
  },
  async backup(manager) {
    for (let n = 0; ; n++) say({ backup: await manager.backup(undefined, { onProgress: (done, total) => say({ done, total }) }), n })
  },
  async restore(manager) {
    const [{ name }] = await manager.listBackups()
    for (;;) {
      await manager.restore(name, { onProgress: (done, total) => say({ done, total }) })
      say({ restored: name })
    }
  },
}

const manager = new MigrationManager(base, { logger: null, lockTimeout: Number(lockTimeout) })
try {
  await deeds[what](manager)
  await manager.close()
} catch (error) {
  say({ code: error.code, message: error.message, holder: error.holder })
}
