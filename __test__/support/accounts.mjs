// Two collections of one database, for processes that are killed in the middle of their work. Arguments: base path, what:
//   transfer          moves 1 between two accounts, one in each collection, and counts; forever, a line after each commit
//   listen <from>     prints every change after a sequence number as a line of JSON, forever
//   iterate           prints the id of every account of the first collection
//   write             creates accounts and changes them, forever, a line of JSON after each commit
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { BaseStorage } from '../../index.mjs'

const [base, what, argument] = process.argv.slice(2)
const schema = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }
const say = (value) => writeSync(1, `${JSON.stringify(value)}\n`)

class Accounts extends BaseStorage {
  constructor(name) {
    super(schema, schema, 'data', { basePath: base, durability: 'os' })
    this.name = name
  }
  getIndexPath() {
    return join(this.basePath, this.dataDir, `${this.name}.json`)
  }
}

const [first, second] = [new Accounts('first'), new Accounts('second')]
const random = (below) => Math.floor(Math.random() * below)

const deeds = {
  async transfer() {
    for (let n = 1; ; n++) {
      const [from, to] = random(2) ? [first, second] : [second, first]
      await first.transaction(async (tx) => {
        const [payer, payee, counter] = [
          (await tx.in(from).list())[random(3)],
          (await tx.in(to).list())[random(3)],
          await tx.in(second).getById(1),
        ]
        await tx.in(from).update(payer.id, { balance: payer.balance - 1 })
        await tx.in(to).update(payee.id, { balance: payee.balance + 1 })
        await tx.in(second).update(1, { count: counter.count + 1 })
      })
      say(n)
    }
  },
  async listen() {
    const timer = setInterval(() => {}, 1000)
    say('listening')
    for await (const change of first.changes({ from: Number(argument) })) say(change)
    clearInterval(timer)
  },
  async iterate() {
    for await (const { id } of first.iterate({ batchSize: 2 })) {
      say(id)
      await new Promise(setImmediate)
    }
    await first.close()
  },
  async write() {
    for (;;) {
      const [one, other] = await first.transaction(async (tx) => [await tx.create({ balance: 0 }), await tx.create({ balance: 0 })])
      say({ created: [one.id, other.id] })
      await first.update(one.id, { balance: 1 })
      say({ updated: [one.id] })
      await first.delete(other.id)
      say({ deleted: [other.id] })
    }
  },
}

await deeds[what]()
