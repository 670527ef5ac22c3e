// What the writers were told, and whether the data agrees with it.
import { StepError } from '../setup.mjs'

export const INDEX = 'by_round'

export class Model {
  /** The names of projects. */
  names = new Map()
  /** Names that an unanswered update may have set, by project. */
  trying = new Map()
  files = new Map()
  deleting = new Set()
  /** Names shared by two projects that were created in one transaction. */
  pairs = new Set()
  /** The keys of entities in the index that is filled by hand. */
  indexed = new Map()
  acknowledged = 0

  take(said) {
    const { id, name, trying, project, file, content, deleting, deleted, pair, entity, key } = said
    if (name !== undefined) {
      this.names.set(id, name)
      this.trying.delete(id)
    }
    if (trying !== undefined) this.trying.set(id, trying)
    if (file !== undefined) this.files.set(file, { project, content })
    if (deleting) this.deleting.add(id)
    if (deleted) this.forget(id)
    if (pair !== undefined) this.pairs.add(pair)
    if (entity !== undefined) this.indexed.set(entity, key)
    if (name !== undefined || file !== undefined || deleted || entity !== undefined) this.acknowledged++
  }

  forget(id) {
    this.names.delete(id)
    this.deleting.delete(id)
    for (const [file, { project }] of this.files) if (project === id) this.files.delete(file)
  }

  /** Compares the model with a storage and its indexes, while no writer is alive. */
  async check(storage, indexes) {
    const projects = await storage.readProjects()
    for (const [id, name] of this.names) {
      const found = projects[id]
      if (found === undefined && this.deleting.has(id)) this.forget(id)
      else if (found === undefined) throw new StepError(`project ${id} is lost`)
      else if (found.name !== name && found.name !== this.trying.get(id)) throw new StepError(`project ${id} is called ${found.name}, not ${name}`)
      else this.names.set(id, found.name)
    }
    const counts = new Map()
    for (const { name } of Object.values(projects)) counts.set(name, (counts.get(name) ?? 0) + 1)
    for (const pair of this.pairs) {
      const count = counts.get(pair) ?? 0
      if (count !== 0 && count !== 2) throw new StepError(`of the two projects ${pair} of one transaction there are ${count}`)
    }
    this.pairs.clear()
    this.trying.clear()
    this.deleting.clear()
    for (const [id, { project, content }] of this.files) {
      const file = await storage.readProjectFile(project, id)
      if (file?.content !== content) throw new StepError(`file ${id} of project ${project} is lost or wrong`)
    }
    for (const [entity, key] of this.indexed) {
      if (!(await indexes.query(INDEX, key)).includes(entity)) throw new StepError(`the index has lost ${entity} under ${key}`)
    }
  }
}
