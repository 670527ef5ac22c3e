// The ids of all projects according to the change feed, to be compared with the ids that exist.
import { StepError } from '../setup.mjs'

export class Replica {
  #ids = new Set()
  #changes
  #storage
  #done
  #error
  /** How many changes the feed has reported. */
  heard = 0

  /** Starts to listen before the first read, so that no change is missed between the two. */
  static async of(storage) {
    const replica = new Replica()
    replica.#storage = storage
    replica.#changes = storage.changes()
    // Opens the feed, which reports everything that comes after it.
    const first = replica.#changes.next()
    await storage.sequence()
    replica.#ids = new Set((await storage.list()).map(({ id }) => id))
    replica.#done = replica.#follow(first).catch((error) => (replica.#error = error))
    return replica
  }

  async #follow(next) {
    for (let step = await next; !step.done; step = await this.#changes.next()) {
      const change = step.value
      this.heard++
      if (change.kind === 'reset') {
        this.#ids = new Set((await this.#storage.list()).map(({ id }) => id))
        continue
      }
      if (change.emptied) this.#ids.clear()
      for (const id of [...change.created, ...change.updated]) this.#ids.add(id)
      for (const id of change.deleted) this.#ids.delete(id)
    }
  }

  /** Waits for the last change, while no writer is alive, and compares. */
  async check() {
    const { id } = await this.#storage.create({ name: 'the last one', path: '/last' })
    const end = Date.now() + 30_000
    while (!this.#ids.has(id)) {
      if (this.#error) throw this.#error
      if (Date.now() > end) throw new StepError('the change feed does not tell of the last change')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const there = (await this.#storage.list()).map(({ id }) => id)
    const missed = there.filter((id) => !this.#ids.has(id))
    if (missed.length > 0 || there.length !== this.#ids.size) {
      throw new StepError(`the change feed told of ${this.#ids.size} projects, there are ${there.length}; it missed ${missed}`)
    }
    await this.#storage.delete(id)
    await this.#changes.return()
    await this.#done
  }
}
