// An HTTP server for notes that pushes every change to its clients, including the changes that other processes make.
//
//   node --import tsx examples/http-server.mts [PORT] [BASE PATH]
//
//   GET    /notes?tag=home      POST /notes { title, tags }
//   PATCH  /notes/:id           DELETE /notes/:id
//   GET    /events              server-sent events: change, reset
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { resolve } from 'node:path'
import { BaseStorage, type BaseStorageOptions, type IndexConfig } from '@octoprompt/storage'
import { z } from 'zod'

const noteSchema = z.object({
  id: z.number(),
  title: z.string().trim().min(1).max(200),
  tags: z.array(z.string()).default([]),
  created: z.number(),
  updated: z.number(),
})
type Note = z.infer<typeof noteSchema>

class Notes extends BaseStorage<Note, Record<string, Note>, z.input<typeof noteSchema>> {
  static override indexes: IndexConfig[] = [{ name: 'by_tag', type: 'hash', fields: ['tags'] }]

  constructor(options?: BaseStorageOptions) {
    super(z.record(z.string(), noteSchema), noteSchema, 'data/notes', options)
  }

  protected getIndexPath() {
    return 'notes.json'
  }

  protected getEntityPath() {
    return null
  }
}

const [port = '3000', base = '.'] = process.argv.slice(2)
const notes = new Notes({ basePath: resolve(base), lockTimeout: 5_000 })

/** The length of the longest body that is accepted. */
const MAX_BODY = 100_000

class HttpError extends Error {
  constructor(readonly status: number, message: string) {
    super(message)
  }
}

async function bodyOf(request: IncomingMessage): Promise<any> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > MAX_BODY) throw new HttpError(413, 'the body is too long')
  }
  try {
    const body: unknown = JSON.parse(text)
    if (body !== null && typeof body === 'object') return body
  } catch {
    // Reported below.
  }
  throw new HttpError(400, 'the body is no JSON object')
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost')
  const [, collection, id, ...rest] = url.pathname.split('/')
  if (url.pathname === '/events' && request.method === 'GET') return push(request, response)
  if (collection !== 'notes' || rest.length > 0) throw new HttpError(404, 'there is no such page')
  if (id === undefined) {
    const tag = url.searchParams.get('tag')
    if (request.method === 'GET') return send(response, 200, await (tag === null ? notes.list() : notes.findBy('by_tag', tag)))
    if (request.method === 'POST') return send(response, 201, await notes.create(await bodyOf(request)))
  } else if (!/^\d{1,15}$/.test(id)) {
    throw new HttpError(404, 'there is no such note')
  } else if (request.method === 'PATCH') {
    const note = await notes.update(Number(id), await bodyOf(request))
    if (note === null) throw new HttpError(404, 'there is no such note')
    return send(response, 200, note)
  } else if (request.method === 'DELETE') {
    return send(response, (await notes.delete(Number(id))) ? 200 : 404, {})
  }
  throw new HttpError(405, 'that is not possible here')
}

function send(response: ServerResponse, status: number, body: unknown) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/**
 * Sends changes to a client as long as it listens. The id of an event is its sequence number: a browser that has lost the
 * connection sends back the last one, and then misses nothing or is told to read everything again.
 */
async function push(request: IncomingMessage, response: ServerResponse) {
  const given = Number(request.headers['last-event-id'])
  const from = Number.isSafeInteger(given) && given > 0 ? given : await notes.sequence()
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  response.write(': listening\n\n')
  try {
    for await (const change of notes.changes({ from, signal: gone.signal })) {
      response.write(`id: ${change.sequence}\nevent: ${change.kind}\ndata: ${JSON.stringify(change)}\n\n`)
    }
    response.end()
  } catch (error) {
    if (!gone.signal.aborted) throw error
  }
}

function statusOf(error: any): number {
  if (error instanceof HttpError) return error.status
  if (error?.name === 'ZodError' || error?.code === 'INVALID_ARGUMENT') return 400
  return error?.code === 'LOCK_TIMEOUT' ? 503 : 500
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    const status = statusOf(error)
    if (status === 500) console.error(error)
    if (response.headersSent) response.destroy()
    else send(response, status, { error: status === 500 ? 'something went wrong' : error.message })
  })
})

server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address()
  console.log(`listening on http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`)
})

async function stop() {
  server.close()
  // This also ends the change feeds, and with them the connections that wait for events.
  await notes.close()
  server.closeAllConnections()
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
