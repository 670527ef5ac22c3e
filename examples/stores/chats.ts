// Chats and their messages: one collection for each chat, all in one database, so that they can change together.
//
//   chat_storage/chats.json                      { [chatId]: chat }
//   chat_storage/chat_data/<chatId>/messages.json { [messageId]: message }
import { BaseStorage } from '@octoprompt/storage'
import type { BaseStorageOptions, Change, IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'
import { keeping } from './keeping.js'

const DATA_DIR = 'data/chat_storage'

export const chatSchema = keeping({
  id: z.number(),
  title: z.string().trim().min(1),
  projectId: z.number().nullable().default(null),
  created: z.number(),
  updated: z.number(),
})
export type Chat = z.infer<typeof chatSchema>

/** Messages in the old layout have no time of change: it is the time at which they were created. */
export const messageSchema = keeping({
  id: z.number(),
  chatId: z.number(),
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string(),
  created: z.number(),
  updated: z.number().optional(),
}).transform((message) => ({ ...message, updated: message.updated ?? message.created }))
export type ChatMessage = z.infer<typeof messageSchema>

class ChatMessages extends BaseStorage<ChatMessage, Record<string, ChatMessage>, z.input<typeof messageSchema>> {
  static override indexes: IndexConfig[] = [{ name: 'by_created', type: 'btree', fields: ['created'] }]

  constructor(readonly chatId: number, options?: BaseStorageOptions) {
    super(z.record(z.string(), messageSchema), messageSchema, DATA_DIR, options)
  }

  protected getIndexPath() {
    return `chat_data/${this.chatId}/messages.json`
  }

  protected getEntityPath() {
    return null
  }
}

export class ChatStorage extends BaseStorage<Chat, Record<string, Chat>, z.input<typeof chatSchema>> {
  static override indexes: IndexConfig[] = [
    { name: 'by_updated', type: 'btree', fields: ['updated'] },
    { name: 'by_project', type: 'hash', fields: ['projectId'] },
  ]

  private opened = new Map<number, ChatMessages>()

  constructor(private given?: BaseStorageOptions) {
    super(z.record(z.string(), chatSchema), chatSchema, DATA_DIR, given)
  }

  protected getIndexPath() {
    return 'chats.json'
  }

  protected getEntityPath() {
    return null
  }

  /** The messages of a chat, in the order in which they were written. */
  async getMessages(chatId: number, limit?: number): Promise<ChatMessage[]> {
    return this.messagesOf(chatId).query({ orderBy: 'created', ...(limit === undefined ? {} : { limit }) })
  }

  /** Adds a message and moves the chat to the top of the list, both or neither. */
  async addMessage(chatId: number, message: Pick<ChatMessage, 'role' | 'content'>): Promise<ChatMessage> {
    return this.transaction(async (tx) => {
      const chat = await tx.update(chatId, {})
      if (chat === null) throw new Error(`chat ${chatId} does not exist`)
      return tx.in(this.messagesOf(chatId)).create({ ...message, chatId })
    })
  }

  /** Creates a chat with the messages of another chat, up to the given one. */
  async fork(chatId: number, lastMessageId: number): Promise<Chat> {
    return this.transaction(async (tx) => {
      const chat = await tx.getById(chatId)
      if (chat === null) throw new Error(`chat ${chatId} does not exist`)
      const copy = await tx.create({ title: `${chat.title} (fork)`, projectId: chat.projectId })
      const messages = await tx.in(this.messagesOf(chatId)).query({ orderBy: 'created' })
      const last = messages.findIndex((message) => message.id === lastMessageId)
      const target = tx.in(this.messagesOf(copy.id))
      for (const { role, content } of messages.slice(0, last + 1)) await target.create({ role, content, chatId: copy.id })
      return copy
    })
  }

  /** Removes a chat with its messages, all or nothing. */
  override async delete(chatId: number): Promise<boolean> {
    return this.transaction(async (tx) => {
      const messages = tx.in(this.messagesOf(chatId))
      for (const { id } of await messages.list()) await messages.delete(id)
      return tx.delete(chatId)
    })
  }

  /** The chats that were used most recently. */
  async getRecent(limit = 20): Promise<Chat[]> {
    return this.query({ orderBy: { updated: 'desc' }, limit })
  }

  /** Yields which chats have new messages, for a server that pushes them to its clients. */
  async *watchMessages(signal: AbortSignal): AsyncGenerator<{ chatId: number; change: Change }> {
    for await (const change of this.changes({ scope: 'database', signal })) {
      const chatId = /^chat_data\/(\d+)\//.exec(change.collection ?? '')?.[1]
      if (chatId !== undefined) yield { chatId: Number(chatId), change }
    }
  }

  override async close(): Promise<void> {
    await Promise.all([...this.opened.values()].map((messages) => messages.close()))
    await super.close()
  }

  private messagesOf(chatId: number): ChatMessages {
    const known = this.opened.get(chatId)
    if (known) return known
    const messages = new ChatMessages(chatId, this.given)
    this.opened.set(chatId, messages)
    return messages
  }
}
