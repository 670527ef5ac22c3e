import assert from 'node:assert/strict'
import { test } from 'node:test'
import { collectGarbage } from './support/garbage.js'

const { Nesting } = require('../lib/nesting.js') as {
  Nesting: new () => Iterable<unknown> & { run<T>(what: unknown, work: () => T): Promise<Awaited<T>> }
}

test('a nesting lists the runs around the code, innermost first, across awaits', async () => {
  const nesting = new Nesting()
  assert.deepEqual([...nesting], [])
  await nesting.run('outer', async () => {
    await null
    assert.deepEqual([...nesting], ['outer'])
    await nesting.run('inner', async () => {
      await null
      assert.deepEqual([...nesting], ['inner', 'outer'])
    })
    assert.deepEqual([...nesting], ['outer'])
  })
})

test('a run that has ended is no longer listed inside a run that it began', async () => {
  const nesting = new Nesting()
  let free = () => {}
  const gate = new Promise<void>((resolve) => (free = resolve))
  let late: Promise<unknown[]> | undefined
  await nesting.run('outer', () => {
    late = nesting.run('inner', async () => {
      await gate
      return [...nesting]
    })
  })
  free()
  assert.deepEqual(await late, ['inner'])
})

test('code that outlives several nested runs is inside none of them', async () => {
  const nesting = new Nesting()
  let free = () => {}
  const gate = new Promise<void>((resolve) => (free = resolve))
  let left: Promise<unknown[]> | undefined
  await nesting.run('outer', () => nesting.run('inner', () => nesting.run('innermost', () => {
    left = gate.then(() => [...nesting])
  })))
  free()
  assert.deepEqual(await left, [])
})

test('a long chain of runs that each begin the next keeps no ended run in memory', async () => {
  const nesting = new Nesting()
  const refs: WeakRef<object>[] = []
  await new Promise<void>((resolve) => {
    const step = () => {
      const what = {}
      refs.push(new WeakRef(what))
      nesting.run(what, async () => {
        await null
        if (refs.length === 200) resolve()
        // The next step begins while this one runs, and outlives it.
        else step()
        await null
      })
    }
    step()
  })
  for (let round = 0; round < 5; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    collectGarbage()
  }
  const left = refs.filter((ref) => ref.deref() !== undefined).length
  assert.ok(left < 20, `${left} of ${refs.length} are left`)
})
