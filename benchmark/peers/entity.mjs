// The fields that every peer stores for a file: those that this package stores.
import { createHash } from 'node:crypto'
import { extname } from 'node:path'

export const columns = [
  'id', 'projectId', 'name', 'path', 'extension', 'size', 'summary', 'summaryLastUpdated', 'meta', 'checksum', 'created',
  'updated', 'version', 'prevId', 'nextId', 'isLatest', 'originalFileId', 'lastSyncedAt', 'syncVersion', 'content',
]

const first = Date.now()
let last = first

/** Returns a number that was never returned before, in this process or an earlier one. */
export const newId = () => (last = Math.max(last + 1, Date.now()))

export function newFile({ name, path, content }) {
  const now = Date.now()
  return {
    id: newId(), projectId: 1, name, path, extension: extname(path), size: Buffer.byteLength(content), summary: null,
    summaryLastUpdated: null, meta: '{}', checksum: null, created: now, updated: now, version: 1, prevId: null,
    nextId: null, isLatest: true, originalFileId: null, lastSyncedAt: null, syncVersion: 0, content,
  }
}

export const newRecord = (record) => {
  const now = Date.now()
  return { id: newId(), ...record, created: now, updated: now }
}

/** Returns a patch together with the other fields that it changes. */
export function completed(patch) {
  const updated = Date.now()
  if (patch.content === undefined) return { ...patch, updated }
  const checksum = createHash('sha256').update(patch.content).digest('hex')
  return { ...patch, size: Buffer.byteLength(patch.content), checksum, updated }
}

export function withoutContent({ content, ...head }) {
  return head
}
