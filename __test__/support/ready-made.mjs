// Uses the ready-made storage on the directory that is the working directory at its first call.
import { readFileSync } from 'node:fs'
import { projectStorage } from '../../index.mjs'

const [, , base, elsewhere = base] = process.argv
// Nothing is open yet: this must not count as the first call.
await projectStorage.close()
process.chdir(base)
const changes = projectStorage.changes()
const created = await projectStorage.create({ name: 'first', path: '/first' })
await projectStorage.close()
const stored = JSON.parse(readFileSync('data/project_storage/projects.json', 'utf8'))
for await (const _ of changes);
process.chdir(elsewhere)
const reopened = await projectStorage.readProjects()
const ids = Array.from({ length: 1000 }, () => projectStorage.generateId())
await projectStorage.close()
await projectStorage[Symbol.asyncDispose]?.()
await projectStorage.list()
await projectStorage.close()
const { basePath, dataDir, options } = projectStorage
console.log(JSON.stringify({ created, stored, reopened, ids, basePath, dataDir, options }))
