import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as storage from '../index.js'
import { runChild } from './support/index.js'

const names = [
  'BaseStorage', 'IndexManager', 'MigrationManager', 'NotFoundError', 'ProjectFileStorage', 'ProjectFilesStorageSchema',
  'ProjectStorageV2', 'ProjectsStorageSchema', 'StorageError', 'ValidationError', 'addIndexesMigration', 'projectStorage',
]

test('every value of the contract is exported', () => {
  for (const name of names) assert.ok(name in storage, name)
})

test('import and require give the same values, by name too', async () => {
  const { lines, stderr, code } = await runChild('exports.mjs', [])
  assert.equal(code, 0, stderr)
  const { imported, required, same } = JSON.parse(lines.at(-1)!)
  assert.deepEqual(imported, required)
  assert.equal(same, true)
  for (const name of names) assert.ok(imported.includes(name), name)
})
