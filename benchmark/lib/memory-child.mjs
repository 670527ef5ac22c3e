// Prints the resident memory after opening a project and reading one of its files. Arguments: base path, project, file.
import { ProjectStorageV2 } from '../../index.mjs'

const [basePath, project, file] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath, cacheEnabled: false })
if (!(await storage.readProjectFile(project, file))?.content) throw new Error('the file was not found')
globalThis.gc()
console.log(process.memoryUsage().rss)
