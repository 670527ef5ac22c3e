// Random calls on the storages of one directory, chosen by a seed.
import type { Call, Doc, Model } from './model.js'

const PATHS = ['src/a.ts', 'src/a.ts', 'src/a.ts', 'src/A.ts', 'cafe\u0301.md', 'caf\u00e9.md', '__proto__', '.env', '\ud800.ts', '\uffff.ts']
const CONTENTS = ['', 'a', 'Ünïcode', '\ud800', 'nul\0', '"}{\\', 'ab '.repeat(3000)]
const NAMES = ['web', 'Web', 'toJSON', 'constructor', ' ']

/** Returns functions that choose at random. The same seed makes the same choices. */
export function choicesFrom(seed: number) {
  let state = seed
  const below = (end: number) => Math.floor(((state = (state * 48271) % 2147483647) / 2147483647) * end)
  return { below, oneOf: <T>(list: readonly T[]): T => list[below(list.length)]! }
}

/** Returns a generator of calls that fit what a model holds. The same seed makes the same choices. */
export function callsFor(model: Model, seed: number) {
  const { below, oneOf } = choicesFrom(seed)
  const sometimes = (fields: Doc) => (below(3) === 0 ? fields : {})
  const some = <T>(make: () => T): T[] => Array.from({ length: below(4) }, make)
  /** An id of the target, or one that nothing has. The newest is chosen often, so that calls meet. */
  const idOf = (target: Call['target']) => {
    const ids = [...model.of(target).keys()].sort((one, other) => one - other)
    return below(8) === 0 ? 4711 : (below(2) === 0 ? ids.at(-1) : oneOf(ids)) ?? 4711
  }

  const project = () => ({ name: oneOf(NAMES), path: oneOf(PATHS), ...sometimes({ description: oneOf(CONTENTS) }), ...sometimes({ unknown: 1 }) })
  const file = () => ({ path: oneOf(PATHS), content: oneOf(CONTENTS), ...sometimes({ summary: oneOf([null, 'short']) }), ...sometimes({ isLatest: false, id: 7 }) })
  const filePatch = () => ({ ...sometimes({ path: oneOf(PATHS) }), ...sometimes({ content: oneOf(CONTENTS) }), ...sometimes({ meta: oneOf(CONTENTS), version: 9 }) })
  const notePatch = () => ({
    ...sometimes({ title: oneOf([...NAMES, ' web ']) }), ...sometimes({ size: oneOf([0, -0, 1.5, 2, undefined]) }), ...sometimes({ tags: some(() => oneOf(NAMES)) }),
    ...sometimes({ code: oneOf([null, 'a', 'b', 'c', 'd']) }), ...sometimes({ more: oneOf<unknown>([{ deep: [{ a: 1 }] }, [[]], { toString: 1 }]), created: 3 }),
  })
  const inputs = { projects: project, notes: () => ({ title: oneOf(NAMES), ...notePatch() }), files: file }
  const patches = { projects: () => ({ ...sometimes({ name: oneOf(NAMES) }), ...sometimes({ path: oneOf(PATHS) }) }), notes: notePatch, files: filePatch }
  const kind = (target: Call['target']) => (typeof target === 'number' ? 'files' : target)

  const basic = (target: Call['target']): Call => {
    const id = idOf(target)
    const create = () => ({ target, method: 'create', args: [inputs[kind(target)]()] })
    const update = () => ({ target, method: 'update', args: [id, patches[kind(target)]()] })
    return oneOf<() => Call>([
      create, create, create, update, update, update,
      target === 'projects' && below(3) > 0 ? update : () => ({ target, method: 'delete', args: [id] }),
      () => ({ target, method: 'getById', args: [id] }),
      () => ({ target, method: 'list', args: [] }),
    ])()
  }
  /** Calls that change many entities as one batch. */
  const many = (target: Call['target']): Call => oneOf<() => Call>([
    () => ({ target, method: 'createMany', args: [some<Doc>(inputs[kind(target)])] }),
    () => ({ target, method: 'updateMany', args: [some(() => ({ id: idOf(target), data: patches[kind(target)]() }))] }),
    () => ({ target, method: 'deleteMany', args: [target === 'projects' ? [4711] : some(() => idOf(target))] }),
  ])()
  const version = (target: Call['target']): Call => ({ target, method: 'createVersion', args: [idOf(target), oneOf(CONTENTS), filePatch()] })
  const found = (target: Call['target']): Call => {
    const where = kind(target) === 'notes' ? { size: { $gte: below(3) }, tags: { $ne: oneOf(NAMES) } } : { path: { $in: [oneOf(PATHS), oneOf(PATHS)] } }
    if (below(3) === 0) return { target, method: 'count', args: [{ where }] }
    const orders: Doc[] = [{ id: 'desc' }, ...(target === 'projects' ? [] : [{ size: 'asc' }, { size: 'desc' }, { size: 'desc', id: 'desc' }])]
    return { target, method: 'query', args: [{ where, ...sometimes({ orderBy: oneOf(orders) }), ...sometimes({ limit: 1 + below(3) }), ...sometimes({ offset: 1 }) }] }
  }
  /** A step of a transaction. */
  const step = (target: Call['target']): Call => oneOf<() => Call>([
    () => basic(target), () => basic(target), () => many(target), () => found(target), () => (typeof target === 'number' ? version(target) : basic(target)),
  ])()
  const rewrite = (target: Call['target']): Call => {
    const ids = [...model.of(target).keys()]
    const patch = { projects: () => ({ description: oneOf(CONTENTS) }), notes: () => ({ size: below(5) }), files: () => oneOf<Doc>([{ content: oneOf(CONTENTS), checksum: null }, { summary: 'rewritten' }]) }[kind(target)]
    return { target, method: 'rewrite', args: [ids.filter(() => below(15) === 0), ids.filter(() => below(4) === 0).map((id) => [id, patch()])] }
  }
  const reads = (target: Call['target']): Call => {
    const own: Record<string, () => Call> = {
      projects: () => ({ target, method: 'findByName', args: [oneOf(NAMES)] }),
      notes: () => oneOf<Call>([{ target, method: 'findBy', args: ['by_tag', oneOf(NAMES)] }, { target, method: 'findRange', args: ['by_size', 0, 2] }, { target, method: 'findBy', args: ['by_code', 'a'] }]),
      files: () => oneOf<Call>([
        ...PATHS.slice(0, 4).map((path) => ({ target, method: 'getByPath', args: [path] })), { target, method: 'getVersions', args: [idOf(target)] }, { target, method: 'getByExtension', args: ['ts'] },
        { target, method: 'list', args: [{ includeContent: false, includeAllVersions: below(2) === 0 }] }, { target, method: 'search', args: ['ü'] }, { target, method: 'content', args: [idOf(target)] },
      ]),
    }
    const call = oneOf<() => Call>([
      own[kind(target)]!, own[kind(target)]!, own[kind(target)]!, () => ({ target, method: 'getById', args: [idOf(target)] }), () => ({ target, method: 'list', args: [] }),
      () => ({ target, method: 'readAll', args: [] }), () => found(target), () => ({ target, method: 'iterate', args: [{ batchSize: 2 }] }),
    ])()
    // What is read several times is kept in memory.
    return { ...call, times: 1 + below(4) }
  }
  const files = (target: number): Call => oneOf<() => Call>([
    () => version(target), () => many(target), () => many(target),
    () => ({ target, method: 'revertToVersion', args: [idOf(target), 1 + below(3)] }),
    () => ({ target, method: 'createFromStream', args: [file()] }),
  ])()

  return (): Call => {
    // Most files belong to the oldest project.
    const project = [...model.projects.keys()][below(8) === 0 ? 1 : 0] ?? 4711
    if (project === 4711) return { target: 'projects', method: 'create', args: [inputs.projects()] }
    const target = oneOf(['projects', 'notes', 'notes', project, project, project] as const)
    const choice = below(20)
    if (choice < 7) return reads(target)
    if (choice < 13) return basic(target)
    if (choice < 16) return typeof target === 'number' ? files(target) : many(target)
    if (choice < 17) return below(3) > 0 ? reads(target) : { target, method: 'reopen', args: [] }
    if (choice < 18) return { target, method: 'transaction', args: [Array.from({ length: 1 + below(4) }, () => step(oneOf([target, 'projects', 'notes', project]))), below(4) === 0] }
    return rewrite(target)
  }
}
