// Processes that perform calls on the storages of one directory, as performer.mjs says.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { StorageOptions } from '../../index.js'
import type { Made } from './explained.js'
import type { Call, Doc } from './model.js'

/** A call on the instance `at` of a process. */
export interface Order {
  at: number
  call: Call<unknown>
}

export type Performers = ReturnType<typeof performersIn>

/** Starts a process that performs calls on a directory, by instances with these options. */
export function performersIn(base: string, options: StorageOptions[]) {
  const child = fork(join(__dirname, 'performer.mjs'), [base, JSON.stringify(options)], { execArgv: [], serialization: 'advanced' })
  const waiting = new Map<number, (answer: any) => void>()
  let last = 0
  child.on('message', ({ n, answer }: any) => {
    const resolve = waiting.get(n)!
    waiting.delete(n)
    resolve(answer)
  })
  /** Begins calls in one turn of the event loop, and returns the promises of their answers. */
  const together = (orders: Order[]): Promise<any>[] => {
    const sent = orders.map((order) => ({ n: (last += 1), ...order }))
    const answers = sent.map(({ n }) => new Promise((resolve) => waiting.set(n, resolve)))
    child.send(sent)
    return answers
  }
  return {
    together,
    perform: async (at: number, call: Call<unknown>) => await together([{ at, call }])[0],
    close: async () => {
      const exit = once(child, 'exit')
      child.send('close')
      assert.deepEqual(await exit, [0, null])
    },
  }
}

/** An instance: the position of its process, and its own there. */
export type Place = readonly [process: number, at: number]

/** Begins calls together. Returns them in the order in which they began, with their answers. */
export async function madeTogether<C extends Call<unknown>>(processes: readonly Performers[], placed: readonly { call: C; place: Place }[]) {
  let moment = 0
  const made: (Made<C> & { place: Place })[] = []
  await Promise.all(processes.flatMap((process, number) => {
    const own = placed.filter(({ place }) => place[0] === number)
    return process.together(own.map(({ call, place }) => ({ at: place[1], call }))).map(async (promise, n) => {
      const one: Made<C> & { place: Place } = { ...own[n]!, answer: undefined, began: (moment += 1), ended: Infinity }
      made.push(one)
      one.answer = await promise
      one.ended = moment += 1
    })
  }))
  return made
}

/** Performs reads on every instance, which must answer the same. Returns them with their answers, as made after all others. */
export async function seenEverywhere<C extends Call<unknown>>(processes: readonly Performers[], places: readonly Place[], reads: readonly C[], message: string): Promise<Made<C>[]> {
  const [first, ...others] = await Promise.all(places.map(([process, at]) => Promise.all(processes[process]!.together(reads.map((call) => ({ at, call }))))))
  for (const other of others) if (!isDeepStrictEqual(other, first)) assert.deepEqual(other, first, message)
  return reads.map((call, at) => ({ call, answer: first![at], began: Infinity, ended: Infinity }))
}

/** The documents of a JSON file, ids ascending. */
export function documentsIn(base: string, file: string): Doc[] {
  const path = join(base, 'data', 'project_storage', file)
  return existsSync(path) ? Object.values(JSON.parse(readFileSync(path, 'utf8'))) : []
}
