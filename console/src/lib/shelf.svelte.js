// The reports that were dropped on the page, newest first, until it is closed.
const REPORTS_MAX = 20;

class Shelf {
  reports = $state.raw([]);
  error = $state("");
  #next = 0;

  add(report) {
    this.reports = [{ ...report, number: this.#next++ }, ...this.reports].slice(0, REPORTS_MAX);
    this.error = "";
  }

  complain(message) {
    this.error = message;
  }

  remove(number) {
    this.reports = this.reports.filter((each) => each.number !== number);
  }

  clear() {
    this.reports = [];
    this.error = "";
  }
}

export const shelf = new Shelf();
