'use strict'

const { readdir } = require('node:fs/promises')
const path = require('node:path')
const { directoryOf } = require('./base-storage.js')
const { call } = require('./calls.js')
const { entities } = require('./entity-storage.js')
const { ProjectStorageV2 } = require('./project-storage.js')

/** The collections of the projects and of their files: `null`, then the id of each project. */
async function collectionsOf(storage) {
  const ids = new Set((await storage.list()).map(({ id }) => id))
  // Files whose project is gone from the map are kept as well.
  const names = await readdir(path.join(directoryOf(storage), 'project_data')).catch((error) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  for (const name of names) if (/^(0|[1-9]\d{0,12})$/.test(name)) ids.add(Number(name))
  return [null, ...[...ids].sort((one, other) => one - other)]
}

/** Runs `work` with a storage and its collections, and closes the storage: the JSON files are current then. */
async function withCollections(basePath, work) {
  const storage = new ProjectStorageV2({ basePath })
  try {
    await work(storage[entities], await collectionsOf(storage))
  } finally {
    await storage.close()
  }
}

const number = (count, what) => `${count} ${what}${count === 1 ? '' : 's'}`

const addIndexesMigration = Object.freeze({
  version: '1.0.0',
  description: 'Check all projects and files, and keep their indexes on disk',

  async up({ basePath, logger, progress }) {
    await withCollections(basePath, async (projects, collections) => {
      const counts = { projects: 0, files: 0, setAside: 0 }
      for (const [at, id] of collections.entries()) {
        progress(at, collections.length)
        const { documents, setAside } = JSON.parse(await call((ticket) => projects.index(ticket, id)))
        counts[id === null ? 'projects' : 'files'] += documents
        counts.setAside += setAside
      }
      progress(collections.length, collections.length)
      logger.info(`indexed ${number(counts.projects, 'project')} and ${number(counts.files, 'file')}`)
      if (counts.setAside > 0) {
        logger.warn(`${number(counts.setAside, 'record')} broke a rule and lie in full beside their files, in *.corrupt-<time>`)
      }
    })
  },

  async down({ basePath, progress }) {
    await withCollections(basePath, async (projects, collections) => {
      for (const [at, id] of collections.entries()) {
        await call((ticket) => projects.forgetIndexes(ticket, id))
        progress(at + 1, collections.length)
      }
    })
  },
})

module.exports = { addIndexesMigration }
