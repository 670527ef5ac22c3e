// Documents with the same members arrive as a table. Each of them must come out as it would on its own.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { z } from 'zod'
import type { StandardSchemaV1 } from '../index.js'
import { fileInput, withDirectory, withProject } from './support/index.js'
import { Things, type Thing } from './support/things.js'

const COUNT = 20
const ids = Array.from({ length: COUNT }, (_, n) => n + 1)
const anyThing = z.record(z.string(), z.unknown()) as unknown as StandardSchemaV1<unknown, Thing>

/** Stores things that have these members besides their ids, and passes them to `check` as a query finds them. */
const found = (membersOf: (id: number) => object, check: (found: Thing[], expected: Thing[]) => void) =>
  withDirectory(async ({ base }) => {
    const things = new Things({ basePath: base, schema: anyThing, cacheEnabled: false })
    const stored = ids.map((id) => ({ id, ...membersOf(id) }) as Thing)
    await things.writeAll(Object.fromEntries(stored.map((thing) => [thing.id, thing])))
    check(await things.query(), stored)
    await things.close()
  })

describe('documents with the same members', () => {
  test('share no mutable value', found(() => ({ tags: ['a'], deep: { list: [] } }), (things, expected) => {
    for (const thing of things as unknown as { tags: string[]; deep: { list: number[] } }[]) {
      thing.tags.push('b')
      thing.deep.list.push(1)
    }
    assert.deepEqual(things, expected.map((thing) => ({ ...thing, tags: ['a', 'b'], deep: { list: [1] } })))
  }))

  test('keep their members in the stored order', found(
    (id) => ({ z: id, 10: 'ten', a: 'same', 2: id, 'é "\\': id, b: null }),
    (things, expected) => assert.equal(JSON.stringify(things), JSON.stringify(expected)),
  ))

  test('may have members named like those of Object.prototype', found(
    (id) => JSON.parse(`{"constructor":${id},"toString":"${id}","hasOwnProperty":1,"__proto__":{"id":${id}}}`),
    (things, expected) => {
      assert.deepEqual(things.map((thing) => Object.getOwnPropertyDescriptors(thing)), expected.map((thing) => Object.getOwnPropertyDescriptors(thing)))
      assert.ok(things.every((thing) => Object.getPrototypeOf(thing) === Object.prototype))
    },
  ))

  test('may include one with an additional member', found(
    (id) => (id === COUNT / 2 ? { name: 'x', more: 1 } : { name: 'x' }),
    (things, expected) => assert.deepEqual(things, expected),
  ))

  test('may have values of different types in the same member', found(
    (id) => ({ value: [1, 'a', '', null, true, -0.5, 1e300, '\ud800', [], {}, [1, { a: 1 }], 'é😀'][id % 12] }),
    (things, expected) => assert.deepEqual(things, expected),
  ))
})

test('updateMany returns the content of every file, whether it was patched or not', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const created = await files.createMany(ids.map((n) => fileInput(`f${n}.ts`, `content ${n}`)))
  const patch = (n: number) => (n % 2 ? { summary: 'same' } : { summary: 'same', content: 'new' })
  const updated = await files.updateMany(created.map(({ id }, n) => ({ id, data: patch(n) })))
  assert.deepEqual(updated.map(({ content }) => content), created.map(({ content }, n) => (n % 2 ? content : 'new')))
  assert.deepEqual(await files.list(), updated)
}))
