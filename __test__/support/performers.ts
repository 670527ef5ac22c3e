// Processes that perform calls on the storages of one directory, as performer.mjs says.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StorageOptions } from '../../index.js'
import type { Call, Doc } from './model.js'

/** A call on the instance `at` of a process. */
export interface Order {
  at: number
  call: Call<unknown>
}

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

/** The documents of a JSON file, ids ascending. */
export function documentsIn(base: string, file: string): Doc[] {
  const path = join(base, 'data', 'project_storage', file)
  return existsSync(path) ? Object.values(JSON.parse(readFileSync(path, 'utf8'))) : []
}
