// What the system's page cache is good for here.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { projectInput, withStorage } from './index.js'

let atOnce: Promise<boolean> | undefined

/**
 * Whether what the system's page cache has is read without a thread: not every system and file system tells what it has. Lists
 * are brought up to date with nothing else; without it they are read again.
 */
export const readsAtOnce = () => (atOnce ??= (async () => {
  let waited = 0
  const count = () => (waited += 1)
  await withStorage(async (storage, { open }) => {
    const { id } = await storage.create(projectInput())
    const cold = open({ cacheEnabled: false })
    subscribe('octoprompt-storage:read', count)
    for (let n = 0; n < 20; n++) await cold.getById(id)
    unsubscribe('octoprompt-storage:read', count)
  })()
  return waited < 20
})())
