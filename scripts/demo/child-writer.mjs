// Writes files forever and prints the id of each as soon as it is acknowledged, until the parent kills the process.
// Arguments: base path, project id.
import { writeSync } from 'node:fs'
import { ProjectStorageV2 } from '../../index.mjs'

const [basePath, project] = process.argv.slice(2)
const files = new ProjectStorageV2({ basePath }).getFileStorage(Number(project))

for (let n = 0; ; n += 4) {
  await Promise.all(
    [n, n + 1, n + 2, n + 3].map(async (at) => {
      const path = `written/${at}.txt`
      const { id } = await files.create({ name: `${at}.txt`, path, content: `line ${at}\n`.repeat(1 + (at % 200)) })
      writeSync(1, `${id} ${at}\n`)
    }),
  )
}
