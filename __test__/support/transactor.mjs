// Increments a shared number in a process of its own, each time in a transaction. Arguments: base path, id, how often; or
// `wait`: takes one step of a transaction, says so, and waits until it is killed.
import { join } from 'node:path'
import { writeSync } from 'node:fs'
import { BaseStorage } from '../../index.mjs'

const [base, id, work] = process.argv.slice(2)
const schema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }

class Things extends BaseStorage {
  constructor() {
    super(schema, schema, 'data', { basePath: base })
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, 'things.json')
  }
}

const storage = new Things()
const count = (tx) => tx.getById(Number(id)).then(({ size }) => tx.update(Number(id), { size: size + 1 }))

if (work === 'wait') {
  await storage.transaction(async (tx) => {
    await count(tx)
    writeSync(1, 'step taken\n')
    await new Promise((resolve) => setTimeout(resolve, 600_000))
  })
}
for (let n = 0; n < Number(work); n++) await storage.transaction(count)
await storage.close()
