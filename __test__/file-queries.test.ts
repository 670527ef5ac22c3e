// Queries of files: the indexes by path, extension and chain give the same answers as reading every file.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Explanation, ProjectFile, Query } from '../index.js'
import { fileInput, withProject } from './support/index.js'

type Files = Query<ProjectFile>

/** Draws random numbers that are the same in every run. */
function drawing(seed: number) {
  let state = seed * 2_654_435_761 + 1
  return (below: number) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

const PATHS = ['a.ts', 'b.ts', 'A.ts', 'src/a.ts', 'src//a.ts', './a.ts', 'Makefile', 'ü.ts', 'u\u0308.ts', '\ud83d.ts', '😀.ts', '["a.ts"]']
const EXTENSIONS = ['.ts', 'ts', '', '.', '..ts', '.TS', '\ud83d']

test('queries that use an index find the same files as a full scan', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const draw = drawing(7)
  const pick = <T>(from: readonly T[]) => from[draw(from.length)]!
  const made = await files.createMany(Array.from({ length: 60 }, () => ({ ...fileInput(pick(PATHS), 'x'), extension: pick(EXTENSIONS) })))
  const ids: unknown[] = made.map(({ id }) => id)
  for (let n = 0; n < 40; n++) ids.push((await files.createVersion(pick(made).id, `${n}`)).id)
  // Leave versions without their neighbours, and one at another path.
  await files.deleteMany([made[3]!.id, made[4]!.id])
  await files.update(made[5]!.id, { path: pick(PATHS), extension: pick(EXTENSIONS) })
  const values: Record<string, () => unknown> = {
    path: () => pick([...PATHS, 'none', null, 7]),
    extension: () => pick([...EXTENSIONS, null]),
    isLatest: () => pick([true, false, null, 'true']),
    originalFileId: () => pick([...ids, null, 1.5, -1, 2 ** 53, 1e300]),
    version: () => pick([1, 2, 3, null, '1']),
    id: () => pick(ids),
  }
  const field = () => {
    const name = pick(Object.keys(values))
    const some = () => Array.from({ length: draw(4) }, () => values[name]!())
    return { [name]: pick([() => values[name]!(), () => ({ $in: some() }), () => ({ $ne: values[name]!() }), () => ({ $nin: some() })])() }
  }
  const condition = (depth: number): Record<string, unknown> => {
    const all = Object.assign({}, ...Array.from({ length: 1 + draw(3) }, field))
    if (depth === 0 || draw(3) > 0) return all
    return { ...all, [pick(['$or', '$and'])]: Array.from({ length: 1 + draw(3) }, () => condition(depth - 1)) }
  }
  const used: Record<string, number> = {}
  const count = ({ kind, index, of = [] }: Pick<Explanation, 'kind' | 'index' | 'of'>): void => {
    if (index !== null) used[`${kind} ${index}`] = (used[`${kind} ${index}`] ?? 0) + 1
    for (const part of of) count(part)
  }
  for (let n = 0; n < 600; n++) {
    const where = condition(2)
    const order: Files = pick([{}, { orderBy: 'path' }, { orderBy: { version: 'desc' }, limit: 5 }, { limit: 3 }] as const)
    const planned = { where, ...order } as Files
    // A doubly negated condition cannot be looked up in an index.
    const scanned = { where: { $not: { $not: where } }, ...order } as Files
    assert.deepEqual(await files.query(planned), await files.query(scanned), JSON.stringify(planned))
    count(await files.explain(planned))
  }
  for (const way of ['keys files_by_path', 'keys files_by_extension', 'keys files_by_version', 'range files_by_version']) {
    assert.ok(used[way]! > 5, `${way} in ${JSON.stringify(used)}`)
  }
}))

test('explain names the index that a query uses, which scans no other files', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const [first] = await files.createMany(Array.from({ length: 20 }, (_, n) => fileInput(`${n}.${n % 2 ? 'ts' : 'md'}`)))
  const second = await files.createVersion(first!.id, 'two')
  const third = await files.createVersion(first!.id, 'three')
  const explained = async (where: NonNullable<Files['where']>) => {
    const { kind, index, scanned, returned } = await files.explain({ where })
    return [kind, index, scanned, returned]
  }
  assert.deepEqual(await explained({ path: '0.md' }), ['keys', 'files_by_path', 3, 3])
  assert.deepEqual(await explained({ path: '0.md', isLatest: true }), ['keys', 'files_by_path', 1, 1])
  assert.deepEqual(await explained({ path: { $in: ['1.ts', '3.ts'] } }), ['keys', 'files_by_path', 2, 2])
  assert.deepEqual(await explained({ extension: '.ts' }), ['keys', 'files_by_extension', 10, 10])
  // The stored extension begins with a dot.
  assert.deepEqual(await explained({ extension: 'ts' }), ['keys', 'files_by_extension', 10, 0])
  assert.deepEqual(await explained({ originalFileId: first!.id }), ['range', 'files_by_version', 3, 2])
  assert.deepEqual(await explained({ originalFileId: first!.id, version: 3 }), ['keys', 'files_by_version', 1, 1])
  assert.deepEqual(await explained({ version: 3 }), ['scan', null, 22, 1])
  assert.deepEqual((await files.query({ where: { path: '0.md' } })).map(({ id }) => id), [first!.id, second.id, third.id])
  await storage.transaction(async (tx) => {
    await tx.in(files).update(third.id, { path: 'moved' })
    assert.deepEqual((await tx.in(files).query({ where: { path: '0.md' } })).map(({ id }) => id), [first!.id, second.id])
    assert.deepEqual((await tx.in(files).query({ where: { path: 'moved' } })).map(({ id }) => id), [third.id])
  })
}))

test('getByPath and getByExtension never find older versions', withProject(async (storage, project) => {
  const files = storage.getFileStorage(project.id)
  const first = await files.create(fileInput('a.ts', 'one'))
  const second = await files.createVersion(first.id, 'two')
  await files.update(second.id, { path: 'b.ts', extension: '.md' })
  assert.deepEqual([await files.getByPath('a.ts'), (await files.getByPath('b.ts'))?.id], [null, second.id])
  assert.deepEqual((await files.getByExtension('ts')).map(({ id }) => id), [])
}))
