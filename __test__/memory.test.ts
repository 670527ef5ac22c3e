// What is kept between calls is bounded, whatever is asked for.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { runChild, withDirectory } from './support/index.js'

interface Entry { collection: { drop(entry: Entry): void }; size: number; used: boolean }
interface KeptEntries { size: number; raise(most: number): void; add(entry: Entry): void; remove(entry: Entry): void }
const { isKept, KeptEntries } = require('../lib/kept-entries.js') as {
  isKept(size: number): boolean
  KeptEntries: new () => KeptEntries
}

/** The size of the largest object that is kept. */
function largest() {
  let [kept, tooLarge] = [0, 2 ** 40]
  while (tooLarge - kept > 1) {
    const size = Math.floor((kept + tooLarge) / 2)
    if (isKept(size)) kept = size
    else tooLarge = size
  }
  return kept
}

/** The entries of two engines that may keep many each. `entry` makes such that two of them are kept and not a third. */
function withEngines(work: (engines: KeptEntries[], entry: (name: string) => Entry, dropped: string[]) => void) {
  return () => {
    const dropped: string[] = []
    const size = largest() * 0.9
    const made: Entry[] = []
    const entry = (name: string) => {
      const one = { collection: { drop: () => void dropped.push(name) }, size, used: false }
      made.push(one)
      return one
    }
    const engines = [new KeptEntries(), new KeptEntries()]
    for (const engine of engines) engine.raise(100)
    work(engines, entry, dropped)
    for (const engine of engines) for (const one of made) engine.remove(one)
  }
}

describe('the objects that are kept of all databases', () => {
  test('have one budget', withEngines(([one, other], entry, dropped) => {
    one!.add(entry('first'))
    other!.add(entry('second'))
    other!.add(entry('third'))
    other!.add(entry('fourth'))
    assert.deepEqual([dropped, one!.size, other!.size], [['first', 'second'], 0, 2])
  }))

  test('go in the order in which they were read last, whatever database they are of', withEngines(([one, other], entry, dropped) => {
    const first = entry('first')
    one!.add(first)
    other!.add(entry('second'))
    first.used = true
    one!.add(entry('third'))
    other!.add(entry('fourth'))
    assert.deepEqual(dropped, ['second', 'third'])
  }))
})

/** Runs the reads of `hoarder.mjs` in a process whose heap is small, which only Node can limit. */
const inSmallHeap = (work: string) => withDirectory(async ({ base }) => {
  const { code, signal, stderr } = await runChild('hoarder.mjs', [base, work], { env: { NODE_OPTIONS: '--max-old-space-size=64' } })
  assert.deepEqual([code, signal], [0, null], stderr)
})

describe('a small heap is enough', () => {
  test('for many large documents that are read often', inSmallHeap('documents'))
  test('for many large documents with nested fields that are read often', inSmallHeap('nested'))
  test('for large lists of many databases that are read often', inSmallHeap('lists'))
})
