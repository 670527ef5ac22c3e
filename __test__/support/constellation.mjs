// One of the processes that share a directory with a server. Arguments: role, base path, project id, file id, how many
// rounds (or which).
import { writeSync } from 'node:fs'
import { projectStorage, ProjectStorageV2 } from '../../index.mjs'

const [role, base, project, file, count] = process.argv.slice(2)
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)

const create = async (storage, name) => {
  const { id } = await storage.create({ name, path: `/${name}` })
  say({ created: id, name })
}
const edit = async (storage, content) => {
  const { version } = await storage.createFileVersion(project, file, content)
  say({ version, content })
}
const list = async (storage) => say({ listed: Object.keys(await storage.readProjects()).length })

const roles = {
  // The server imports the ready-made object and runs for a long time.
  async server() {
    process.chdir(base)
    for (let n = 0; n < count; n++) {
      await create(projectStorage, `server ${n}`)
      if (n % 3 === 0) await edit(projectStorage, `server ${n}`)
      await list(projectStorage)
    }
    await projectStorage.close()
  },
  // A second process mostly reads, and writes without waiting for the disk.
  async stdio() {
    const storage = new ProjectStorageV2({ basePath: base, durability: 'os' })
    for (let n = 0; n < count; n++) {
      await list(storage)
      if (n % 4 === 0) await edit(storage, `stdio ${n}`)
      if (n % 5 === 0) await create(storage, `stdio ${n}`)
    }
    await storage.close()
  },
  // The tool opens the storage, does one thing and closes it.
  async tool() {
    const storage = new ProjectStorageV2({ basePath: base })
    await list(storage)
    await create(storage, `tool ${count}`)
    await edit(storage, `tool ${count}`)
    await storage.close()
  },
}

await roles[role]()
