// Uses the ready-made storage on the directory that is current at its first call.
import { projectStorage } from '../../index.mjs'

process.chdir(process.argv[2])
const created = await projectStorage.create({ name: 'first', path: '/first' })
await projectStorage.close()
const reopened = await projectStorage.readProjects()
const ids = Array.from({ length: 1000 }, () => projectStorage.generateId())
await projectStorage.close()
console.log(JSON.stringify({ created, reopened, ids }))
