// What other databases keep at a path that is removed together with an entity or a project, before or after the removal.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { caught, fileInput, withDirectory, withProject } from './support/index.js'
import { Things, thing } from './support/things.js'

const names = async (things: Things) => (await things.list()).map(({ name }) => name)

describe('what another database keeps at a path since an entity was deleted with it stays', () => {
  const folder = (base: string) => (id: number) => join(base, 'data', 'attachments', String(id))
  const places = {
    'a file': { dataDir: 'other', file: join('data', 'attachments', '1', 'others.json') },
    'a file in its own directory': { dataDir: join('data', 'attachments'), file: join('data', 'attachments', '1', 'own.json') },
    'a database': { dataDir: join('data', 'attachments', '1') },
  }
  for (const [what, place] of Object.entries(places)) {
    for (const then of ['a checkpoint', 'the entity is created again']) {
      test(`${what}, after ${then}`, withDirectory(async ({ base }) => {
        const things = new Things({ basePath: base, entityPath: folder(base) })
        await things.writeAll({ 1: thing(1) })
        await things.delete(1)
        const others = new Things({ basePath: base, ...place })
        await others.create({ name: 'kept' })
        await others.close()
        if (then === 'the entity is created again') await things.writeAll({ 1: thing(1) })
        await things.close()
        const again = new Things({ basePath: base, ...place })
        assert.deepEqual(await names(again), ['kept'])
        await again.close()
      }))
    }
  }
})

test('a file of a database that is gone is removed with the entity whose path holds it', withDirectory(async ({ base }) => {
  const others = new Things({ basePath: base, dataDir: 'other', file: join('claimed', 'by.json') })
  await others.create({ name: 'x' })
  await others.close()
  await rm(join(base, 'other'), { recursive: true })
  const things = new Things({ basePath: base, entityPath: () => join(base, 'claimed') })
  await things.delete((await things.create({ name: 'a' })).id)
  await things.close()
  assert.ok(!existsSync(join(base, 'claimed')))
}))

test('what is at the path of a deleted entity stays while nothing tells whose it is', withDirectory(async ({ base }) => {
  const place = { dataDir: 'other', file: join('data', 'attachments', '1', 'others.json') }
  const things = new Things({ basePath: base, entityPath: (id) => join(base, 'data', 'attachments', String(id)) })
  await things.writeAll({ 1: thing(1) })
  await things.delete(1)
  const others = new Things({ basePath: base, ...place })
  await others.create({ name: 'kept' })
  await others.close()
  await writeFile(join(base, 'data', '.databases.json'), '{')
  await things.close()
  assert.match(await readFile(join(base, place.file), 'utf8'), /kept/)
}))

test('a project is not deleted while there is a database in its directory', withProject(async (storage, project, { base }) => {
  const notes = new Things({ basePath: base, dataDir: join('data', 'project_storage', 'project_data', String(project.id), 'notes') })
  await notes.create({ name: 'kept' })
  const refused = await caught(storage.delete(project.id))
  assert.equal(refused.code, 'INVALID_ARGUMENT')
  assert.match(refused.message, /holds a database/)
  assert.deepEqual(await storage.getById(project.id), project)
  assert.deepEqual(await names(notes), ['kept'])
  await notes.close()
}))

test('an entity is not deleted with a path at which another database has a collection', withProject(async (storage, project, { base }) => {
  await storage.addFile(project.id, fileInput('/a.ts'))
  await storage.close()
  const directory = join(base, 'data', 'project_storage', 'project_data', String(project.id))
  const things = new Things({ basePath: base, entityPath: () => directory })
  await things.writeAll({ 1: thing(1) })
  for (const deleted of [() => things.delete(1), () => things.transaction((tx) => tx.delete(1))]) {
    const refused = await caught(deleted())
    assert.equal(refused.code, 'INVALID_ARGUMENT')
    assert.match(refused.message, /files\.json/)
  }
  assert.deepEqual(await things.list(), [thing(1)])
  await things.close()
}))
