// The code in docs/monitoring.md does what it says.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { documents, root } from './support/documents.js'
import { dataPath, withDirectory } from './support/index.js'

const run = promisify(execFile)
const { blocks } = documents().find(({ path }) => path === 'docs/monitoring.md')!

/** Returns a file that the page shows. */
const file = (name: string) => blocks.find(({ mark }) => mark === `file=${name}`)!.text

/** Returns what a module prints as JSON, one value on each line. */
async function printed(code: string, base: string): Promise<any[]> {
  const args = 'Bun' in globalThis ? ['-e', code] : ['--input-type=module', '-e', code]
  const { stdout } = await run(process.execPath, args, { cwd: root, env: { ...process.env, BASE: base } })
  return stdout.trimEnd().split('\n').map((line) => JSON.parse(line))
}

/** A minimal implementation of the OpenTelemetry interfaces, which remembers what it is given. */
const providers = `
import * as api from '@opentelemetry/api'
const spans = []
const records = []
const callbacks = []
api.trace.setGlobalTracerProvider({ getTracer: () => ({
  startSpan(name, options) {
    const span = { name, ...options, exceptions: 0 }
    spans.push(span)
    return {
      recordException() { span.exceptions += 1 },
      setStatus(status) { span.status = status },
      end(time) { span.endTime = time },
    }
  },
}) })
api.metrics.setGlobalMeterProvider({ getMeter: () => ({
  createHistogram: (name) => ({ record: (value, attributes) => records.push({ name, value, attributes }) }),
  createCounter: (name) => ({ add: (value, attributes) => records.push({ name, value, attributes }) }),
  createObservableGauge: (name) => ({ name }),
  addBatchObservableCallback: (callback) => callbacks.push(callback),
  removeBatchObservableCallback: (callback) => callbacks.splice(callbacks.indexOf(callback), 1),
}) })
`

test('the OpenTelemetry example produces spans and metrics', withDirectory(async ({ base }) => {
  const use = `
import { ProjectStorageV2 } from '@octoprompt/storage'
watchStorages()
const storage = new ProjectStorageV2({ basePath: process.env.BASE })
const stop = observeStorage(storage)
await storage.create({ name: 'a', path: '/a' })
await storage.create({ name: '', path: '/b' }).catch(() => {})
await storage.query({})
await storage.close().then(() => new ProjectStorageV2({ basePath: process.env.BASE })).then(async (again) => {
  stop()
  const end = observeStorage(again)
  await again.list()
  const observed = {}
  for (const callback of callbacks) await callback({ observe: ({ name }, value, attributes) => (observed[name] = { value, attributes }) })
  end()
  console.log(JSON.stringify(spans))
  console.log(JSON.stringify(records))
  console.log(JSON.stringify(observed))
  console.log(callbacks.length)
  await again.close()
})
`
  const [spans, records, observed, left] = await printed(providers + file('monitoring.js') + use, base)
  const [created, refused] = spans.filter(({ name }: any) => name === 'create projects.json')
  assert.equal(created.attributes['db.namespace'], dataPath(base))
  assert.equal(created.attributes['db.operation.batch.size'], 1)
  assert.ok(created.endTime > created.startTime && Math.abs(created.startTime - Date.now()) < 600_000)
  assert.equal(created.status, undefined)
  assert.deepEqual([refused.exceptions, refused.status.code, refused.attributes['error.type']], [1, 2, 'VALIDATION_ERROR'])
  for (const name of ['query projects.json', 'open open', 'checkpoint checkpoint']) {
    assert.ok(spans.some((span: any) => span.name === name), name)
  }
  assert.equal(records.length, spans.length)
  assert.ok(records.every(({ name, value }: any) => name === 'db.client.operation.duration' && value > 0 && value < 60))
  assert.deepEqual(observed['octoprompt_storage.documents'], {
    value: 1, attributes: { 'db.namespace': dataPath(base), 'db.collection.name': 'projects.json' },
  })
  assert.deepEqual(observed['octoprompt_storage.checkpoint.failed'].value, 0)
  assert.equal(left, 0)
}))

test('the Prometheus example produces the text format of Prometheus', withDirectory(async ({ base }) => {
  const use = `
import { ProjectStorageV2 } from '@octoprompt/storage'
const storage = new ProjectStorageV2({ basePath: process.env.BASE })
await storage.create({ name: 'a', path: '/a' })
console.log(JSON.stringify(await prometheusText(storage)))
await storage.close()
`
  const [text] = await printed(file('metrics.js') + use, base)
  const lines: string[] = text.trimEnd().split('\n')
  for (const line of lines) {
    assert.match(line, /^(# TYPE [a-z_]+ (counter|gauge|summary)|[a-z_]+\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\} [0-9.e+-]+)$/)
  }
  assert.ok(lines.includes(`octoprompt_storage_batches_total{database=${JSON.stringify(dataPath(base))}} 1`))
}))
