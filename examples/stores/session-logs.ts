// Logs of coding sessions: string ids that come from outside, and messages that are appended for a long time.
//
//   claude_code_storage/sessions.json                        { [sessionId]: session }
//   claude_code_storage/session_data/<sessionId>/log.json    { [messageId]: message }
//   claude_code_storage/session_data/<sessionId>/messages.json   the old layout of the messages: an array, imported once
import { randomUUID } from 'node:crypto'
import { BaseStorage } from '@octoprompt/storage'
import type { BaseStorageOptions, IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'
import { ImportingStorage } from './import-array.js'
import { keeping } from './keeping.js'

const DATA_DIR = 'data/claude_code_storage'

/** Ids become names of directories. */
const idSchema = z.string().regex(/^[\w-]{1,64}$/)

export const sessionSchema = keeping({
  id: idSchema,
  projectPath: z.string(),
  status: z.enum(['active', 'ended']).default('active'),
  created: z.number(),
  updated: z.number(),
})
export type Session = z.infer<typeof sessionSchema>

const logEntrySchema = keeping({
  id: z.string(),
  position: z.number(),
  type: z.string(),
  message: z.unknown(),
  created: z.number(),
  updated: z.number(),
})
export type LogEntry = z.infer<typeof logEntrySchema>

class SessionLog extends ImportingStorage<LogEntry> {
  static override indexes: IndexConfig[] = [{ name: 'by_position', type: 'btree', fields: ['position'] }]

  constructor(readonly sessionId: string, options?: BaseStorageOptions) {
    super(logEntrySchema, DATA_DIR, options)
  }

  static newId() {
    return randomUUID()
  }

  protected getIndexPath() {
    return `session_data/${this.sessionId}/log.json`
  }

  protected getEntityPath() {
    return null
  }

  protected getArrayPath() {
    return `session_data/${this.sessionId}/messages.json`
  }

  protected idOf(element: Record<string, unknown>, position: number) {
    return typeof element['uuid'] === 'string' ? element['uuid'] : `imported-${position}`
  }

  protected fieldsOf(element: Record<string, unknown>, position: number) {
    const { uuid: _, type, message, ...rest } = element
    const fields = message === undefined ? { message: rest } : { ...rest, message }
    return { ...fields, position, type: String(type ?? 'message') }
  }
}

export class SessionStorage extends BaseStorage<Session, Record<string, Session>, z.input<typeof sessionSchema>> {
  static override indexes: IndexConfig[] = [
    { name: 'by_project', type: 'hash', fields: ['projectPath'] },
    { name: 'by_updated', type: 'btree', fields: ['updated'] },
  ]

  private logs = new Map<string, SessionLog>()

  constructor(private given?: BaseStorageOptions) {
    super(z.record(z.string(), sessionSchema), sessionSchema, DATA_DIR, given)
  }

  static newId() {
    return randomUUID()
  }

  protected getIndexPath() {
    return 'sessions.json'
  }

  protected getEntityPath() {
    return null
  }

  /** Appends to the log of a session. Concurrent calls, including those of other processes, get different positions. */
  async append(sessionId: string, entry: Pick<LogEntry, 'type' | 'message'>): Promise<LogEntry> {
    const log = await this.logOf(sessionId)
    return this.transaction(async (tx) => {
      const session = await tx.update(sessionId, {})
      if (session === null) throw new Error(`session ${sessionId} does not exist`)
      const entries = tx.in(log)
      const [last] = await entries.query({ orderBy: { position: 'desc' }, limit: 1, select: ['position'] })
      return entries.create({ ...entry, position: (last?.position ?? -1) + 1 })
    })
  }

  /** The log of a session in order, however long it is. */
  async readLog(sessionId: string, from = 0, limit = 1000): Promise<LogEntry[]> {
    const log = await this.logOf(sessionId)
    return log.query({ where: { position: { $gte: from } }, orderBy: 'position', limit })
  }

  /** Yields the sessions that have not been used since a time. */
  async *stale(before: Date): AsyncGenerator<Session> {
    yield* this.iterate({ where: { status: 'active', updated: { $lt: before } } })
  }

  override async close(): Promise<void> {
    await Promise.all([...this.logs.values()].map((log) => log.close()))
    await super.close()
  }

  private async logOf(sessionId: string): Promise<SessionLog> {
    const log = this.logs.get(sessionId) ?? new SessionLog(idSchema.parse(sessionId), this.given)
    this.logs.set(sessionId, log)
    await log.importArray()
    return log
  }
}
