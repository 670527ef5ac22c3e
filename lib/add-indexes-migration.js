'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { call } = require('./calls.js')
const { entities } = require('./entity-storage.js')
const { ProjectStorageV2 } = require('./project-storage.js')
const { directoryOf } = require('./storage-paths.js')

/** Returns the ids of all projects that are listed or have a directory of files. */
async function projectIds(storage) {
  const ids = new Set((await storage.list()).map(({ id }) => id))
  // Files may outlive the entry of their project in the map.
  const names = await fs.promises.readdir(path.join(directoryOf(storage), 'project_data')).catch((error) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names) if (/^(0|[1-9]\d{0,12})$/.test(name)) ids.add(Number(name))
  return [...ids].sort((one, other) => one - other)
}

/**
 * Calls `work` for the collection of projects, with `null` as the id, and then for the collection of files of each project.
 * Then closes the storage, which brings the JSON files up to date.
 */
async function eachCollection({ basePath, progress }, work) {
  const storage = new ProjectStorageV2({ basePath })
  try {
    await work(storage[entities], null)
    const ids = await projectIds(storage)
    for (const [at, id] of ids.entries()) {
      progress(at + 1, ids.length + 1)
      await work(storage[entities], id)
    }
    progress(ids.length + 1, ids.length + 1)
  } catch (error) {
    await storage.close().catch(() => {})
    throw error
  }
  await storage.close()
}

const number = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`

const addIndexesMigration = Object.freeze({
  version: '1.0.0',
  description: 'Check all projects and files, and keep their indexes on disk',

  async up(context) {
    const { logger } = context
    const counts = { projects: 0, files: 0, setAside: 0 }
    await eachCollection(context, async (projects, id) => {
      const { documents, setAside } = JSON.parse(await call((ticket) => projects.index(ticket, id), { signal: context.signal }))
      counts[id === null ? 'projects' : 'files'] += documents
      counts.setAside += setAside
    })
    logger.info(`indexed ${number(counts.projects, 'project')} and ${number(counts.files, 'file')}`)
    if (counts.setAside > 0) {
      const records = number(counts.setAside, 'record')
      logger.warn(`set aside ${records} that broke a rule, in full, beside their files: *.corrupt-<time>`)
    }
  },

  async down(context) {
    const { signal } = context
    await eachCollection(context, (projects, id) => call((ticket) => projects.forgetIndexes(ticket, id), { signal }))
  },
})

module.exports = { addIndexesMigration }
