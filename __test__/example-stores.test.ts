// The stores under examples/stores, on the layouts that the old package left and on new data.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { ChatStorage } from '../examples/stores/chats.js'
import { PromptStorage } from '../examples/stores/prompts.js'
import { ProviderKeyStorage } from '../examples/stores/provider-keys.js'
import { SessionStorage } from '../examples/stores/session-logs.js'
import { caught, readJson, withDirectory } from './support/index.js'

interface Closeable {
  close(): Promise<void>
}

/** Makes the body of a test with one store, and a way to open another one on its data. */
const withStore = <Store extends Closeable>(
  Type: new (options: { basePath: string }) => Store,
  files: Record<string, unknown>,
  work: (store: Store, reopen: () => Promise<Store>, base: string) => Promise<void>,
) =>
  withDirectory(async ({ base }) => {
    for (const [file, value] of Object.entries(files)) {
      await mkdir(dirname(join(base, 'data', file)), { recursive: true })
      await writeFile(join(base, 'data', file), JSON.stringify(value, null, 2))
    }
    let store = new Type({ basePath: base })
    const reopen = async () => {
      await store.close()
      return (store = new Type({ basePath: base }))
    }
    try {
      await work(store, reopen, base)
    } finally {
      await store.close()
    }
  })

const times = { created: 1_700_000_000_000, updated: 1_700_000_000_000 }

const oldChats = {
  'chat_storage/chats.json': { 1: { id: 1, title: 'First', pinned: true, ...times }, 2: { id: 2, title: 'Second', ...times } },
  'chat_storage/chat_data/1/messages.json': {
    11: { id: 11, chatId: 1, role: 'user', content: 'Hello', created: 1_700_000_000_001, tokens: 3 },
    12: { id: 12, chatId: 1, role: 'assistant', content: 'Hi', created: 1_700_000_000_002 },
  },
}

test('chats of the old layout are read with their messages', withStore(ChatStorage, oldChats, async (chats) => {
  assert.deepEqual((await chats.list()).map(({ title, projectId }) => [title, projectId]), [['First', null], ['Second', null]])
  assert.deepEqual((await chats.getMessages(1)).map(({ content, updated }) => [content, updated]), [
    ['Hello', 1_700_000_000_001],
    ['Hi', 1_700_000_000_002],
  ])
  assert.deepEqual(await chats.getMessages(2), [])
}))

test('fields that the store does not know are kept', withStore(ChatStorage, oldChats, async (chats, reopen, base) => {
  await chats.addMessage(1, { role: 'user', content: 'New' })
  await chats.update(1, { title: 'Renamed' })
  await reopen()
  const [chat, message] = [
    (await readJson(join(base, 'data/chat_storage/chats.json')))['1'],
    (await readJson(join(base, 'data/chat_storage/chat_data/1/messages.json')))['11'],
  ]
  assert.deepEqual([chat!['title'], chat!['pinned'], message!['tokens']], ['Renamed', true, 3])
}))

test('a message and its chat change together', withStore(ChatStorage, oldChats, async (chats, reopen) => {
  const message = await chats.addMessage(2, { role: 'user', content: 'New' })
  assert.match((await caught(chats.addMessage(9, { role: 'user', content: 'x' }))).message, /chat 9/)
  const again = await reopen()
  assert.deepEqual((await again.getMessages(2)).map(({ id }) => id), [message.id])
  assert.equal((await again.getRecent(1))[0]!.id, 2)
}))

test('a chat is forked up to a message', withStore(ChatStorage, oldChats, async (chats) => {
  const fork = await chats.fork(1, 11)
  assert.deepEqual((await chats.getMessages(fork.id)).map(({ content, chatId }) => [content, chatId]), [['Hello', fork.id]])
  assert.equal((await chats.getMessages(1)).length, 2)
}))

test('deleting a chat deletes its messages', withStore(ChatStorage, oldChats, async (chats, reopen, base) => {
  assert.equal(await chats.delete(1), true)
  assert.equal(await chats.delete(1), false)
  assert.deepEqual(await (await reopen()).getMessages(1), [])
  assert.deepEqual(Object.keys(await readJson(join(base, 'data/chat_storage/chats.json'))), ['2'])
}))

test('watchMessages reports new messages until it is aborted', withStore(ChatStorage, oldChats, async (chats) => {
  // Files of the old layout are adopted when they are first read.
  await Promise.all([chats.list(), chats.getMessages(1)])
  const controller = new AbortController()
  const timer = setInterval(() => {}, 1000)
  try {
    const watched = chats.watchMessages(controller.signal)
    const heard = watched.next()
    const message = await chats.addMessage(1, { role: 'user', content: 'Push me' })
    const { value } = await heard
    assert.ok(value && value.chatId === 1 && value.change.kind === 'change')
    assert.deepEqual(value.change.created, [message.id])
    controller.abort()
    assert.equal((await caught(watched.next())).code, 'ABORTED')
  } finally {
    clearInterval(timer)
  }
}))

const oldPrompts = {
  'prompt_storage/prompts.json': {
    1: { id: 1, name: 'Review', content: 'Review this code', ...times },
    2: { id: 2, name: 'Explain', content: 'Explain this code', ...times },
  },
  'prompt_storage/prompt-projects.json': [
    { id: 'a', promptId: 1, projectId: 5 },
    { id: 'b', promptId: 2, projectId: 5 },
    { id: 'c', promptId: 1, projectId: 6 },
    // Written twice, by two requests at the same time.
    { id: 'd', promptId: 1, projectId: 6 },
  ],
}

test('associations of the old layout are imported once', withStore(PromptStorage, oldPrompts, async (prompts, reopen, base) => {
  assert.deepEqual((await prompts.listByProject(5)).map(({ name }) => name), ['Review', 'Explain'])
  assert.equal(await prompts.removeFromProject(2, 5), true)
  const again = await reopen()
  assert.deepEqual((await again.listByProject(5)).map(({ name }) => name), ['Review'])
  assert.deepEqual(await again.getProjects(1), [5, 6])
  const kept = await readJson(join(base, 'data/prompt_storage/prompt-projects.json.imported'))
  assert.deepEqual(kept, oldPrompts['prompt_storage/prompt-projects.json'])
}))

test('two stores that import the associations concurrently agree', withStore(PromptStorage, oldPrompts, async (prompts, _, base) => {
  const other = new PromptStorage({ basePath: base })
  const lists = await Promise.all([prompts.listByProject(5), other.listByProject(5)])
  assert.deepEqual(lists.map((list) => list.length), [2, 2])
  await other.close()
}))

test('deleting a prompt deletes its associations', withStore(PromptStorage, oldPrompts, async (prompts) => {
  assert.equal(await prompts.addToProject(2, 6), true)
  assert.equal(await prompts.addToProject(2, 6), false)
  assert.equal(await prompts.delete(2), true)
  assert.deepEqual(await prompts.getProjects(2), [])
  assert.deepEqual((await prompts.listByProject(6)).map(({ id }) => id), [1])
  assert.match((await caught(prompts.addToProject(2, 6))).message, /prompt 2/)
  assert.deepEqual((await prompts.search('review')).map(({ id }) => id), [1])
}))

const oldKeys = {
  'provider_key_storage/provider_keys.json': {
    1: { id: 1, name: 'main', provider: 'openai', key: 'sk-1', isDefault: true, environment: 'production', ...times },
    2: { id: 2, name: 'spare', provider: 'openai', key: 'sk-2', ...times },
  },
}

test('keys of the old layout are read, and each provider keeps one default', withStore(ProviderKeyStorage, oldKeys, async (keys) => {
  assert.equal((await keys.getDefault('openai'))?.name, 'main')
  await Promise.all([keys.setDefault(2), keys.setDefault(1), keys.setDefault(2), keys.setDefault(1)])
  assert.equal((await keys.query({ where: { provider: 'openai', isDefault: true } })).length, 1)
  const added = await Promise.all(['a', 'b', 'c'].map((name) => keys.add({ name, provider: 'anthropic', key: 'k' })))
  assert.equal(added.filter(({ isDefault }) => isDefault).length, 1)
  assert.equal(await keys.getDefault('nobody'), null)
}))

test('the name of a key is unique for its provider, and lists show no keys', withStore(ProviderKeyStorage, oldKeys, async (keys) => {
  assert.equal((await caught(keys.add({ name: 'main', provider: 'openai', key: 'sk-3' }))).code, 'UNIQUE_VIOLATION')
  await keys.add({ name: 'main', provider: 'anthropic', key: 'k' })
  const listed = await keys.listNames()
  assert.deepEqual(listed.map(({ provider, name }) => `${provider}/${name}`), ['anthropic/main', 'openai/main', 'openai/spare'])
  assert.ok(listed.every((key) => !('key' in key)))
}))

const oldSessions = {
  'claude_code_storage/sessions.json': {
    'abc-1': { id: 'abc-1', projectPath: '/srv/a', ...times },
    'abc-2': { id: 'abc-2', projectPath: '/srv/b', ...times },
  },
  'claude_code_storage/session_data/abc-1/messages.json': [
    { uuid: 'm-1', type: 'user', message: { text: 'Hello' }, timestamp: '2025-01-01T00:00:00Z' },
    { type: 'assistant', message: { text: 'Hi' } },
  ],
}

test('session logs of the old layout can be read and appended to', withStore(SessionStorage, oldSessions, async (sessions, reopen) => {
  assert.deepEqual((await sessions.readLog('abc-1')).map(({ id, position }) => [id, position]), [['m-1', 0], ['imported-1', 1]])
  const [first] = await sessions.readLog('abc-1')
  assert.equal((first as { timestamp?: unknown } | undefined)?.timestamp, '2025-01-01T00:00:00Z')
  await Promise.all(Array.from({ length: 10 }, (_, at) => sessions.append('abc-1', { type: 'user', message: at })))
  const again = await reopen()
  const log = await again.readLog('abc-1', 2)
  assert.deepEqual(log.map(({ position }) => position), Array.from({ length: 10 }, (_, at) => at + 2))
  assert.match((await caught(again.append('abc-9', { type: 'user', message: 1 }))).message, /abc-9/)
}))

test('stale() iterates over the sessions that were not updated after a given time', withStore(SessionStorage, oldSessions, async (sessions) => {
  await sessions.append('abc-2', { type: 'user', message: 'fresh' })
  const stale: string[] = []
  for await (const { id } of sessions.stale(new Date(1_700_000_000_001))) stale.push(id)
  assert.deepEqual(stale, ['abc-1'])
  const created = await sessions.create({ projectPath: '/srv/c' })
  assert.match(created.id, /^[\w-]{36}$/)
}))
