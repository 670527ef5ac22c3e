// Queries, transactions, changes and streams that must compile. If the line below an expected error has none, tsc fails.
import { BaseStorage, ProjectFileStorage, ProjectStorageV2 } from '@octoprompt/storage'
import type { Change, Explanation, Project, ProjectFile, ProjectFileInfo, Where } from '@octoprompt/storage'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function assertType<T extends true>(): T

interface Person {
  id: number
  name: string
  age: number
  role: 'admin' | 'user'
  tags: string[]
  address: { city: string; zip: number | null }
  visits: { place: string; at: number }[]
  home: { phones: string[] } | null
  created: number
  updated: number
}

declare const people: BaseStorage<Person>
declare const named: BaseStorage<{ id: string; created: number; updated: number }>
declare const projects: ProjectStorageV2
declare const files: ProjectFileStorage

export async function right(signal: AbortSignal) {
  const where: Where<Person> = {
    name: /^A/i,
    age: { $gte: 18, $not: { $in: [20, 30] } },
    role: 'admin',
    tags: 'staff',
    'address.city': { $in: ['Rome', null] },
    'visits.at': { $lt: new Date() },
    'visits.0.place': /^R/,
    'tags.1': 'staff',
    created: { $gt: new Date() },
    $or: [{ tags: { $eq: ['a', 'b'] } }, { $not: { 'address.zip': { $exists: false } } }],
  }
  const found = await people.query({ where, orderBy: ['name', { 'address.city': 'desc' }], limit: 1, offset: 2, signal })
  assertType<Equal<typeof found, Person[]>>()
  await people.query({ where: { 'home.phones.0': { $exists: true } }, orderBy: { 'visits.0.at': 'desc' } })
  const some = await people.query({ where, select: ['name', 'address.city', 'visits.at'] })
  const city: string = some[0]!.address.city
  const at: number = some[0]!.visits[0]!.at
  const id: number = some[0]!.id
  // @ts-expect-error not selected
  some[0]!.age
  // @ts-expect-error not selected
  some[0]!.address.zip
  const count: number = (await people.count()) + (await people.count({ where, signal }))
  const plan: Explanation = await people.explain({ where, select: ['name'] })
  for await (const person of people.iterate({ batchSize: 5, after: 7, where, signal })) assertType<Equal<typeof person, Person>>()
  for await (const change of people.changes({ from: 1, scope: 'database', signal })) {
    if (change.kind === 'change') assertType<Equal<typeof change.created, (number | string)[]>>()
    else assertType<Equal<typeof change.collection, string | null>>()
  }
  for await (const change of people.changes({ scope: 'collection' })) {
    if (change.kind === 'change') assertType<Equal<typeof change.created, number[]>>()
  }
  for await (const change of named.changes()) if (change.kind === 'change') assertType<Equal<typeof change.deleted, string[]>>()
  const listener = (change: Change<number>) => void change.sequence
  people.on('change', listener).off('change', listener)
  const made = await files.transaction((tx) => tx.createVersion(1, 'text'))
  assertType<Equal<typeof made, ProjectFile>>()
  const answer = await people.transaction(async (tx) => {
    const person = await tx.getById(1)
    assertType<Equal<typeof person, Person | null>>()
    const project = await tx.in(projects).create({ name: 'a', path: '/a' })
    assertType<Equal<typeof project, Project>>()
    const version = await tx.in(files).createVersion(1, 'text')
    assertType<Equal<typeof version, ProjectFile>>()
    const other = await tx.in(named).query({ select: ['created'] })
    return { time: other[0]!.created }
  }, { signal })
  assertType<Equal<typeof answer, { time: number }>>()
  const file = await files.createFromStream({ name: 'a', path: 'a' }, files.createContentStream(1))
  assertType<Equal<typeof file, ProjectFileInfo>>()
  return { city, at, id, count, plan, sequence: await people.sequence() }
}

export async function wrong() {
  // @ts-expect-error a count has no order
  await people.count({ orderBy: 'name' })
  // @ts-expect-error no such field
  await people.query({ where: { surname: 'a' } })
  // @ts-expect-error no such nested field
  await people.query({ where: { 'address.street': 'a' } })
  // @ts-expect-error a position is a number
  await people.query({ where: { 'tags.first': 'a' } })
  // @ts-expect-error a text
  await people.query({ where: { 'tags.0': 5 } })
  // @ts-expect-error no such field of an element
  await people.query({ where: { 'visits.0.when': 5 } })
  // @ts-expect-error no array
  await people.query({ where: { 'address.0': 'a' } })
  // @ts-expect-error positions are not selected
  await people.query({ select: ['tags.0'] })
  // @ts-expect-error no such operator
  await people.query({ where: { age: { $above: 1 } } })
  // @ts-expect-error a number
  await people.query({ where: { age: '18' } })
  // @ts-expect-error numbers compare with numbers
  await people.query({ where: { age: { $gt: 'a' } } })
  // @ts-expect-error a number is no text
  await people.query({ where: { age: { $regex: 'a' } } })
  // @ts-expect-error a list
  await people.query({ where: { age: { $in: 5 } } })
  // @ts-expect-error no such role
  await people.query({ where: { role: 'guest' } })
  // @ts-expect-error true or false
  await people.query({ where: { age: { $exists: 1 } } })
  // @ts-expect-error a direction is a word
  await people.query({ orderBy: { age: 1 } })
  // @ts-expect-error no such field
  await people.query({ select: ['surname'] })
  // @ts-expect-error no such part
  await people.query({ sort: 'age' })
  // @ts-expect-error ids are numbers here
  people.iterate({ after: 'a' })
  // @ts-expect-error no such event
  people.on('changes', () => {})
  // @ts-expect-error a name is required
  await people.transaction((tx) => tx.create({ age: 1 }))
  // @ts-expect-error no storage
  await people.transaction((tx) => tx.in({}).list())
  // @ts-expect-error the content comes from the stream
  await files.createFromStream({ name: 'a', path: 'a', content: '' }, [])
  // @ts-expect-error a text is no stream
  await files.createFromStream({ name: 'a', path: 'a' }, 5)
}
