// How long writers wait while a checkpoint of many files runs. Every single write of a period is timed.
import { content, sample } from '../lib/data.mjs'
import { collectGarbage, quantile } from '../lib/measure.mjs'

export async function checkpoints(bench, { opened, ids }) {
  const milliseconds = (values) => ({
    p50: quantile(values, 0.5),
    p99: quantile(values, 0.99),
    max: quantile(values, 1),
    writes: values.length,
  })
  const seconds = bench.quick ? 1 : 4
  const lines = []
  for (const [peer, instance] of Object.entries(opened)) {
    if (instance.constructor.slowWrites) continue
    collectGarbage()
    const quiet = await writeFor(seconds, instance, ids[peer])
    if (peer === 'ours') {
      lines.push({ peer, during: 'no checkpoint', ...milliseconds(quiet) })
      let running = true
      const checkpointing = (async () => {
        while (running) await instance.checkpoint()
      })()
      const busy = await writeFor(seconds, instance, ids[peer])
      running = false
      await checkpointing
      lines.push({ peer, during: 'one checkpoint after another', ...milliseconds(busy) })
    } else {
      lines.push({ peer, during: 'as they come', ...milliseconds(quiet) })
    }
  }
  bench.latency({ work: `update a file of ${bench.total.toLocaleString('en')}, one after another, each timed`, lines })
}

/** Returns the milliseconds of each write of a period. */
async function writeFor(seconds, instance, ids) {
  const some = sample(ids, 500)
  const times = []
  const end = performance.now() + seconds * 1000
  for (let n = 0; performance.now() < end; n++) {
    const patch = { content: content(n, 77) }
    const start = performance.now()
    await instance.update(some[n % some.length], patch)
    times.push(performance.now() - start)
  }
  return times
}
