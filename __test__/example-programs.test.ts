// The programs under examples/, run as a person would run them.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ProjectStorageV2 } from '../index.js'
import { readJson, until, withDirectory } from './support/index.js'

const root = join(__dirname, '..')

/** Starts an example in this runtime. */
function start(name: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  const loader = 'Bun' in globalThis ? [] : ['--import', 'tsx']
  const child = spawn(process.execPath, [...loader, join(root, 'examples', name), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (printed.stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (printed.stderr += chunk))
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  return { child, printed, ended }
}

async function output(name: string, args: string[], env?: NodeJS.ProcessEnv) {
  const { printed, ended } = start(name, args, env)
  return { code: await ended, lines: printed.stdout.split('\n').slice(0, -1), stderr: printed.stderr }
}

test('the note taker adds, lists, searches, completes and removes notes', withDirectory(async ({ base }) => {
  const notes = (...args: string[]) => output('notes.mts', args, { NOTES_DIRECTORY: base })
  assert.deepEqual((await notes('add', 'Buy', 'milk', '--tag', 'home')).lines, ['  1 Buy milk #home'])
  assert.deepEqual((await notes('add', 'Call Ada')).lines, ['  2 Call Ada'])
  assert.deepEqual((await notes('done', '1')).lines, ['✓ 1 Buy milk #home'])
  assert.deepEqual((await notes('list')).lines, ['  2 Call Ada'])
  assert.deepEqual((await notes('list', '--all', '--tag', 'home')).lines, ['✓ 1 Buy milk #home'])
  assert.deepEqual((await notes('search', 'MIL')).lines, ['✓ 1 Buy milk #home'])
  assert.deepEqual((await notes('remove', '2')).lines, ['removed 2'])
  assert.deepEqual(await notes('done', '2'), { code: 1, lines: [], stderr: 'there is no note 2\n' })
  assert.deepEqual(await notes('done', 'two'), { code: 1, lines: [], stderr: 'there is no note two\n' })
  assert.deepEqual(await notes('remove'), { code: 1, lines: [], stderr: 'there is no note\n' })
  assert.deepEqual(await notes('add', ' '), { code: 1, lines: [], stderr: 'a note needs a text\n' })
}))

test('the note taker explains itself if it does not know a command', withDirectory(async ({ base }) => {
  const { code, lines, stderr } = await output('notes.mts', ['eat'], { NOTES_DIRECTORY: base })
  assert.deepEqual([code, lines], [1, []])
  assert.match(stderr, /^Usage: notes add/)
}))

test('notes that are added concurrently get distinct numbers', withDirectory(async ({ base }) => {
  const added = await Promise.all(['a', 'b', 'c'].map((text) => output('notes.mts', ['add', text], { NOTES_DIRECTORY: base })))
  assert.deepEqual(added.map(({ code, stderr }) => ({ code, stderr })), Array(3).fill({ code: 0, stderr: '' }))
  const stored = Object.values(await readJson(join(base, 'data/notes/notes.json')))
  assert.deepEqual(stored.map(({ number }) => number).sort(), [1, 2, 3])
}))

test('the sync program keeps a project in step with a folder', withDirectory(async ({ base, open }) => {
  const folder = join(base, 'app')
  const sync = async () => (await output('sync-folder.mts', [folder, base])).lines
  await mkdir(join(folder, 'src'), { recursive: true })
  await mkdir(join(folder, 'node_modules'))
  await writeFile(join(folder, 'node_modules', 'left.js'), 'out')
  await writeFile(join(folder, 'src', 'main.ts'), 'one')
  await writeFile(join(folder, 'old.ts'), 'old')
  await writeFile(join(folder, 'logo.png'), Buffer.from([0x89, 0x50, 0, 1]))
  assert.deepEqual(await sync(), ['passed over logo.png', '2 new, 0 changed, 0 removed, 0 as they were'])
  await writeFile(join(folder, 'src', 'main.ts'), 'two')
  await rm(join(folder, 'logo.png'))
  assert.deepEqual(await sync(), ['0 new, 1 changed, 0 removed, 1 as they were'])
  await rm(join(folder, 'old.ts'))
  assert.deepEqual(await sync(), ['0 new, 0 changed, 1 removed, 1 as they were'])
  assert.equal((await output('sync-folder.mts', [join(base, 'nothing'), base])).code, 1)

  const storage: ProjectStorageV2 = open()
  const project = await storage.getByPath(folder)
  assert.deepEqual(await storage.list(), [project])
  const files = await storage.getProjectFiles(project!.id)
  assert.deepEqual(files.map(({ path, content, version }) => [path, content, version]), [
    ['src/main.ts', 'one', 1],
    ['src/main.ts', 'two', 2],
  ])
}))

test('the server answers, pushes changes, resumes a feed and shuts down cleanly', withDirectory(async ({ base }) => {
  const { child, printed, ended } = start('http-server.mts', ['0', base])
  try {
    const url = await until('the server', () => /http:\S+/.exec(printed.stdout)?.[0])
    const call = async (method: string, path: string, body?: object) => {
      const response = await fetch(url + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
      return { status: response.status, body: (await response.json()) as any }
    }
    /** Returns the events after a given one, once `count` of them have come. */
    async function events(count: number, after?: string) {
      const gone = new AbortController()
      const response = await fetch(`${url}/events`, { signal: gone.signal, headers: after ? { 'last-event-id': after } : {} })
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      let text = (await reader.read()).value ?? ''
      const all = (async () => {
        while ([...text.matchAll(/\nid: /g)].length < count || !text.endsWith('\n\n')) {
          const { value, done } = await reader.read()
          if (done) break
          text += value
        }
        gone.abort()
        return [...text.matchAll(/id: (\d+)\nevent: (\w+)\ndata: (.*)\n\n/g)].map(([, id, event, data]) => ({ id, event, data: JSON.parse(data!) }))
      })()
      return { all }
    }

    const listening = await events(2)
    const { status, body: milk } = await call('POST', '/notes', { title: ' Buy milk ', tags: ['home'] })
    assert.deepEqual([status, milk.title], [201, 'Buy milk'])
    assert.equal((await call('PATCH', `/notes/${milk.id}`, { tags: ['shop'] })).body.title, 'Buy milk')
    const [created, updated] = await listening.all
    assert.deepEqual([created?.event, created?.data.created, updated?.data.updated], ['change', [milk.id], [milk.id]])

    assert.equal((await call('DELETE', `/notes/${milk.id}`)).status, 200)
    const [missed] = await (await events(1, updated?.id)).all
    assert.deepEqual(missed?.data.deleted, [milk.id])

    assert.deepEqual((await call('GET', '/notes?tag=shop')).body, [])
    assert.equal((await call('POST', '/notes', { title: '' })).status, 400)
    assert.equal((await call('PATCH', '/notes/1', {})).status, 404)
    assert.equal((await call('GET', '/elsewhere')).status, 404)
    assert.equal((await call('GET', '/notes/first')).status, 404)
    assert.equal((await call('DELETE', '/notes/1')).status, 404)
    assert.equal((await call('PUT', '/notes', {})).status, 405)
    assert.equal((await call('POST', '/notes', ['no', 'note'])).status, 400)
    for (const [body, status] of [['{', 400], ['5', 400], [`"${'x'.repeat(100_001)}"`, 413]] as const) {
      assert.equal((await fetch(`${url}/notes`, { method: 'POST', body })).status, status)
    }
    assert.deepEqual((await call('GET', '/notes')).body, [])
    const { body: ada } = await call('POST', '/notes', { title: 'Call Ada' })

    // Windows has no signal to which a process could respond.
    if (process.platform === 'win32') return
    child.kill('SIGTERM')
    assert.equal(await ended, 0, printed.stderr)
    assert.deepEqual(Object.keys(await readJson(join(base, 'data/notes/notes.json'))), [String(ada.id)])
  } finally {
    child.kill('SIGKILL')
  }
}))
