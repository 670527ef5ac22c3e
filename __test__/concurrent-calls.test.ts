// Random calls that are begun together, on several instances of one directory and in another process: what they answer must be
// what they would answer one after another, in some order.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { ProjectStorageV2 } from '../index.js'
import { explained, isRead, type Made } from './support/explained.js'
import { withDirectory } from './support/index.js'
import { Model, type Call, type Target } from './support/model.js'
import { documentsIn, madeTogether, performersIn, seenEverywhere } from './support/performers.js'
import { callsFor, choicesFrom } from './support/random-calls.js'

const SEEDS = 4
const GROUPS = 30

/** Returns a generator of groups of calls. They also bring back what was there before, and remove it again. */
function groupsFor(model: () => Model, seed: number) {
  const { below, oneOf } = choicesFrom(seed)
  const earlier: [Target, Call['args'][0]][] = []

  const whole = (target: Target): Call => ({ target, method: 'writeAll', args: [Object.fromEntries(model().of(target))] })
  const again = (): Call => {
    const [target, map] = oneOf(earlier)
    const ids = Object.keys(map).map(Number)
    return oneOf<() => Call>([
      () => ({ target, method: 'writeAll', args: [map] }), () => ({ target, method: 'writeAll', args: [map] }),
      () => ({ target, method: 'deleteMany', args: [ids.filter(() => below(3) > 0)] }),
      () => ({ target, method: 'update', args: [oneOf([4711, ...ids]), target === 'notes' ? { code: oneOf(['a', 'b']) } : {}] }),
      () => (target === 'projects' ? whole(target) : { target, method: 'deleteAll', args: [] }),
    ])()
  }
  return (): Call[] => {
    const next = callsFor(model(), 1 + below(2147483646))
    for (const target of ['projects', 'notes', ...model().projects.keys()] as Target[]) {
      if (below(4) === 0 && model().of(target).size > 0) earlier.push([target, Object.fromEntries(model().of(target))])
    }
    return Array.from({ length: 2 + below(7) }, () => {
      const call = earlier.length > 0 && below(3) === 0 ? again() : next()
      if (call.method === 'reopen') return whole('notes')
      if (call.method === 'rewrite') return whole(call.target)
      return below(12) === 0 && ['create', 'update', 'delete', 'createMany', 'updateMany', 'deleteMany'].includes(call.method) ? { ...call, aborted: below(6) } : call
    })
  }
}

/** What orders a write among those of its instance: see "Order of writes" in docs/design.md. */
function orderOf({ target, method, aborted }: Call, answer: any, group: Call[]) {
  if (method === 'transaction' || method === 'createFromStream' || aborted !== undefined || answer?.refused === 'ZodError' || answer?.refused === 'VALIDATION_ERROR') return undefined
  // It has nothing to write, or comes later if the entity was changed meanwhile.
  const writesNothing = answer === null || answer?.length === 0 || answer?.refused === 'NOT_FOUND'
  if (target === 'notes' && (writesNothing || (method.startsWith('update') && group.some((other) => other.method === 'transaction')))) return undefined
  return target === 'notes' ? 'notes' : 'projects'
}

describe('calls that are begun together', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    test(`are answered as one after another: sequence ${seed}`, withDirectory(async ({ base }) => {
      let model = new Model()
      const next = groupsFor(() => model, seed * 7919)
      const processes = [performersIn(base, [{}, { cacheEnabled: false }]), performersIn(base, [{}])] as const
      const places = [[0, 0], [0, 1], [1, 0]] as const
      try {
        for (const [process, at] of places) for (const target of ['projects', 'notes'] as const) await processes[process].perform(at, { target, method: 'list', args: [] })
        for (let n = 0; n < GROUPS; n++) {
          const group = next()
          // A group of one instance also keeps the order of its writes.
          const single = n % 2 === 0 ? (n / 2) % places.length : undefined
          const placed = group.map((call, at) => ({ call, place: places[single ?? (at * seed) % places.length]! }))
          const made: Made<Call>[] = await madeTogether(processes, placed)
          if (single !== undefined) {
            for (const one of made) if (!isRead(one.call)) one.order = orderOf(one.call, one.answer, group)
          }
          const targets = new Set<Target>(['projects', 'notes', ...model.projects.keys(), ...group.map(({ target }) => target)])
          const lists = [...targets].map((target): Call => ({ target, method: 'list', args: [] }))
          const seen = await seenEverywhere(processes, places, lists, `after group ${n}`)
          const found = explained(model, [...made, ...seen])
          if (found === undefined) assert.fail(`group ${n} is not explained: ${inspect({ before: [...targets].map((target) => [target, model.list(target)]), made, seen }, { depth: 7, breakLength: 200, compact: 20, maxStringLength: 40 })}`)
          model = found
        }
      } finally {
        await Promise.all(processes.map((process) => process.close()))
      }
      assert.deepEqual(documentsIn(base, 'projects.json'), model.list('projects'))
      assert.deepEqual(documentsIn(base, 'notes.json'), model.list('notes'))
      for (const id of model.projects.keys()) assert.deepEqual(documentsIn(base, `project_data/${id}/files.json`), model.list(id))
      const storage = new ProjectStorageV2({ basePath: base })
      const report = await storage.verify()
      assert.ok(report.ok, String(report))
      await storage.close()
    }))
  }
})
