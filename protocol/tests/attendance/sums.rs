//! Equations in readings, and the graph whose cuts they are.

use std::collections::BTreeSet;

/// What is calculated modulo: a prime. The matrices here have no minors but
/// -1, 0 and 1, so that it decides as the integers do.
const PRIME: u64 = (1 << 61) - 1;

/// Sums of unknowns.
pub(crate) struct Equations {
    unknowns: usize,
    rows: Vec<Vec<u64>>,
}

impl Equations {
    pub(crate) fn new(unknowns: usize) -> Self {
        Self { unknowns, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, held: impl Iterator<Item = usize>) {
        let mut row = vec![0; self.unknowns];
        held.for_each(|unknown| row[unknown] = 1);
        self.rows.push(row);
    }

    /// The unknowns that follow: with rows reduced, one that follows is alone
    /// in its row.
    pub(crate) fn determined(mut self) -> BTreeSet<usize> {
        self.reduce();
        let held = |row: &Vec<u64>| -> Vec<usize> {
            (0..row.len()).filter(|unknown| row[*unknown] != 0).take(2).collect()
        };
        self.rows.iter().map(held).filter(|held| held.len() == 1).flatten().collect()
    }

    /// How many sums there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The fewest unknowns that are left where each sum is added, subtracted or
    /// left out, in all ways; none where nothing is ever left.
    pub(crate) fn smallest_by_trial(&self) -> Option<usize> {
        let powers: Vec<usize> = (0..).take(self.rows.len()).map(|at| 3_usize.pow(at)).collect();
        let factor = |trial: usize, power: &usize| [0, 1, PRIME - 1][trial / power % 3];
        let value = |trial: usize, unknown: usize| -> u64 {
            let held = powers.iter().zip(&self.rows).filter(|(_, row)| row[unknown] != 0);
            held.fold(0, |sum, (power, _)| (sum + factor(trial, power)) % PRIME)
        };
        let left = |trial| (0..self.unknowns).filter(|at| value(trial, *at) != 0).count();
        (0..3_usize.pow(powers.len().try_into().unwrap())).map(left).filter(|left| *left > 0).min()
    }

    fn reduce(&mut self) {
        let mut done = 0;
        for column in 0..self.unknowns {
            let nonzero = |at: &usize| self.rows[*at][column] != 0;
            let Some(pivot) = (done..self.rows.len()).find(nonzero) else { continue };
            self.rows.swap(done, pivot);
            let inverse = power(self.rows[done][column], PRIME - 2);
            self.rows[done].iter_mut().for_each(|value| *value = times(*value, inverse));
            let row = self.rows[done].clone();
            let others = self.rows.iter_mut().enumerate().filter(|(at, _)| *at != done);
            others.for_each(|(_, other)| eliminate(other, &row, column));
            done += 1;
        }
    }
}

fn eliminate(other: &mut [u64], row: &[u64], column: usize) {
    let factor = other[column];
    if factor == 0 {
        return;
    }
    for (value, own) in other.iter_mut().zip(row).filter(|(_, own)| **own != 0) {
        *value = (*value + PRIME - times(*own, factor)) % PRIME;
    }
}

fn times(a: u64, b: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) % u128::from(PRIME)).unwrap()
}

fn power(base: u64, exponent: u64) -> u64 {
    match exponent {
        0 => 1,
        _ if exponent % 2 == 1 => times(base, power(base, exponent - 1)),
        _ => power(times(base, base), exponent / 2),
    }
}

/// Vertices with as many edges between each two as the matrix says.
pub(crate) struct Graph(Vec<Vec<usize>>);

impl Graph {
    pub(crate) fn new(vertices: usize) -> Self {
        Self(vec![vec![0; vertices]; vertices])
    }

    pub(crate) fn join(&mut self, one: usize, other: usize) {
        if one != other {
            self.0[one][other] += 1;
            self.0[other][one] += 1;
        }
    }

    /// The fewest edges of any cut that has one (Stoer and Wagner 1997, section
    /// 2, for each component).
    pub(crate) fn smallest_cut(&self) -> Option<usize> {
        let mut left: BTreeSet<usize> = (0..self.0.len()).collect();
        let mut smallest = None;
        while let Some(first) = left.first().copied() {
            let component = self.component(first);
            left.retain(|vertex| !component.contains(vertex));
            let cut = self.cut_of(component.into_iter().collect());
            smallest = smallest.into_iter().chain(cut).min();
        }
        smallest
    }

    fn component(&self, first: usize) -> BTreeSet<usize> {
        let (mut found, mut work) = (BTreeSet::from([first]), vec![first]);
        while let Some(vertex) = work.pop() {
            let next = (0..self.0.len()).filter(|other| self.0[vertex][*other] > 0);
            work.extend(next.filter(|other| found.insert(*other)));
        }
        found
    }

    fn cut_of(&self, mut vertices: Vec<usize>) -> Option<usize> {
        let mut edges = self.0.clone();
        let mut smallest = None;
        while vertices.len() > 1 {
            let (before, last, cut) = phase(&edges, &vertices);
            smallest = smallest.into_iter().chain([cut]).min();
            vertices.retain(|vertex| *vertex != last);
            for other in &vertices {
                edges[before][*other] += edges[last][*other];
                edges[*other][before] = edges[before][*other];
            }
        }
        smallest
    }
}

/// Takes in the most tightly joined vertex again and again: the two that come
/// last, and the edges of the last one.
fn phase(edges: &[Vec<usize>], vertices: &[usize]) -> (usize, usize, usize) {
    let mut joined: Vec<(usize, usize)> = vertices.iter().map(|vertex| (0, *vertex)).collect();
    let (mut before, mut last, mut cut) = (0, 0, 0);
    while let Some(at) = (0..joined.len()).max_by_key(|at| joined[*at].0) {
        before = last;
        (cut, last) = joined.swap_remove(at);
        for (weight, vertex) in &mut joined {
            *weight += edges[last][*vertex];
        }
    }
    (before, last, cut)
}
