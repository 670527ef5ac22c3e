// Appends versions to one file. Arguments: base path, project id, file id, how many.
import { ProjectStorageV2 } from '../../index.mjs'

const [base, projectId, fileId, count] = process.argv.slice(2)
const storage = new ProjectStorageV2({ basePath: base })
for (let n = 0; n < Number(count); n++) await storage.createFileVersion(projectId, fileId, `${process.pid} ${n}`)
await storage.close()
