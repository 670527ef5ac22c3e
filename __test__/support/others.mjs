// Creates an entity in two databases, one of them outside `data`. Arguments: base path, name.
import { join } from 'node:path'
import { BaseStorage } from '../../index.mjs'

const [base, name] = process.argv.slice(2)
const schema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

class Things extends BaseStorage {
  constructor(dataDir, file) {
    super(schema, schema, dataDir, { basePath: base })
    this.file = file
  }
  getIndexPath() {
    return join(this.basePath, this.file)
  }
}

for (const place of [['data/new', 'data/new/things.json'], ['own', 'shared.json']]) {
  const storage = new Things(...place)
  await storage.create({ name })
  await storage.close()
}
