// Many records of each kind: more than are passed in one slice.
import type { ProjectFile } from '../../index.js'
import { fileInput, fileRecord, projectRecord } from './index.js'
import type { Thing } from './things.js'

export const COUNT = 1500

export const inputs = () => Array.from({ length: COUNT }, (_, n) => fileInput(`f${n}.ts`, `text ${n}`))

export const mapOf = <T extends { id: number }>(entities: T[]) => Object.fromEntries(entities.map((entity) => [entity.id, entity]))

export const records = (projectId: number, fields: Partial<ProjectFile> = {}) =>
  mapOf(Array.from({ length: COUNT }, (_, n) => fileRecord(n + 1, projectId, { content: `text ${n}`, ...fields })))

export const projects = () => mapOf(Array.from({ length: COUNT }, (_, n) => projectRecord(n + 1)))

export const entities = (fields: object) => Array.from({ length: COUNT }, (_, n) => ({ id: n + 1, ...fields }))

export const things = () => mapOf(Array.from({ length: COUNT }, (_, n): Thing => ({ id: n + 1, name: `thing ${n}`, size: n, created: 1, updated: 1 })))
